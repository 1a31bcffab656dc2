//! An OCI image of one layer, as an archive: the same bytes for the same program.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::Error;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Nobody, and not root. By number, since there is no file of names.
const USER: &str = "65532:65532";
/// Nothing is older than an image whose time is that of no build.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// Where programs look for the certificates that they trust.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

pub struct Image {
    /// With its tag.
    pub name: String,
    /// Of the manifest.
    pub digest: String,
    pub program_size: usize,
    pub archive: Vec<u8>,
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = Sha256::digest(&bytes);
        let digest = HEXLOWER.encode(&digest);
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

impl Image {
    pub fn new(program: &str, version: &str, binary: Vec<u8>) -> Result<Self, Error> {
        let name = format!("{program}:{version}");
        let program_size = binary.len();
        let layer = Blob::new(tar(&[
            (CERTIFICATES.to_owned(), 0o644, certificates()),
            (program.to_owned(), 0o755, binary),
        ])?);
        let config = Blob::json(&config(program, version, &layer));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
        }));
        let digest = format!("sha256:{}", manifest.digest);
        let mut entry = manifest.descriptor(MANIFEST);
        entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        entry["annotations"] = json!({
            // What containerd and other tools call it once it is imported.
            "io.containerd.image.name": format!("docker.io/library/{name}"),
            "org.opencontainers.image.ref.name": version,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        let layout = json!({ "imageLayoutVersion": "1.0.0" });
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                0o644,
                layout.to_string().into_bytes(),
            ),
            (
                "index.json".to_owned(),
                0o644,
                index.to_string().into_bytes(),
            ),
        ];
        for blob in [manifest, config, layer] {
            files.push((format!("blobs/sha256/{}", blob.digest), 0o644, blob.bytes));
        }
        Ok(Self {
            name,
            digest,
            program_size,
            archive: tar(&files)?,
        })
    }
}

fn config(program: &str, version: &str, layer: &Blob) -> Value {
    json!({
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{program}")],
            "Labels": {
                "org.opencontainers.image.title": program,
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        "history": [{ "created": CREATED, "created_by": "cargo xtask image" }],
    })
}

/// An archive in which nothing depends on when, where and by whom it was made.
fn tar(files: &[(String, u32, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

/// Mozilla's list of certificate authorities, as of the version that the lock file pins.
fn certificates() -> Vec<u8> {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}
