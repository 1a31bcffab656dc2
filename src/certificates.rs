//! Certificates that are trusted beside the system's: `SSL_CERT_FILE` and `SSL_CERT_DIR`.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tracing::warn;

/// Says which of the two variables names nothing that can be trusted. Connections then fail by their certificates, as
/// the system's alone are trusted.
pub fn tell_of_useless() {
    for problem in useless(|name| env::var_os(name)) {
        warn!("{problem}");
    }
}

fn useless(variable: impl Fn(&str) -> Option<OsString>) -> Vec<String> {
    let path = |name: &str| variable(name).filter(|path| !path.is_empty());
    let file = path("SSL_CERT_FILE").map(PathBuf::from);
    let file = file.into_iter().map(|path| ("SSL_CERT_FILE", path));
    let directories = path("SSL_CERT_DIR").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&directories)
        .filter(|path| !path.as_os_str().is_empty())
        .map(|path| ("SSL_CERT_DIR", path))
        .collect();
    file.chain(directories)
        .filter_map(|(name, path)| {
            let problem = problem(&path)?;
            let path = path.display();
            Some(format!(
                "{name} names {path}, which {problem}: only the system's certificates are trusted"
            ))
        })
        .collect()
}

fn problem(path: &Path) -> Option<&'static str> {
    if !path.exists() {
        return Some("doesn't exist");
    }
    let files: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect(),
        Err(_) => vec![path.to_owned()],
    };
    let has_some = files.iter().any(|file| {
        let pem = fs::read(file).unwrap_or_default();
        CertificateDer::pem_slice_iter(&pem).any(|certificate| certificate.is_ok())
    });
    (!has_some).then_some("holds no certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_holds_no_certificate_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let certificate = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        fs::write(path("good.pem"), certificate.cert.pem()).unwrap();
        fs::write(path("bad.pem"), "no certificate").unwrap();
        fs::create_dir(path("empty")).unwrap();
        let told = |name: &'static str, value: &Path| {
            useless(|own| (own == name).then(|| value.as_os_str().to_owned())).join("\n")
        };
        for (name, value, expected) in [
            ("SSL_CERT_FILE", path("good.pem"), ""),
            ("SSL_CERT_FILE", path("bad.pem"), "holds no certificate"),
            ("SSL_CERT_FILE", path("none.pem"), "doesn't exist"),
            ("SSL_CERT_DIR", directory.path().to_owned(), ""),
            ("SSL_CERT_DIR", path("empty"), "holds no certificate"),
            ("SSL_CERT_DIR", path("none"), "doesn't exist"),
        ] {
            let told = told(name, &value);
            assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
            assert!(told.contains(expected), "{told}");
        }
        assert!(useless(|_| None).is_empty());
    }
}
