//! Writes an OCI image as an archive: an index with an image of one layer for each architecture, and the list of the
//! parts beside it as an artifact that refers to the index. The same programs give the same bytes.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    architecture::Architecture,
    archive::{gzip, tar},
    error::Error,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// What an artifact has in place of a configuration.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SBOM: &str = "application/vnd.cyclonedx+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An unprivileged user. A number, because the image has no file of user names.
const USER: &str = "65532:65532";
/// A fixed time, so that the image does not depend on when it was built.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// Where programs look for certificate authorities.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

pub struct Image {
    /// The name with the tag.
    pub name: String,
    /// The digest of the index.
    pub digest: String,
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
    /// `sbom` is the list of parts.
    pub fn new(
        program: &str,
        version: &str,
        binaries: Vec<(Architecture, Vec<u8>)>,
        sbom: Vec<u8>,
    ) -> Result<Self, Error> {
        let name = format!("{program}:{version}");
        let mut blobs = Vec::new();
        let mut platforms = Vec::new();
        for (architecture, binary) in binaries {
            let manifest = add_image(&mut blobs, program, version, architecture, binary)?;
            platforms.push(manifest);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": platforms });
        let index = Blob::json(&index);
        let digest = format!("sha256:{}", index.digest);
        let mut entry = index.descriptor(INDEX);
        entry["annotations"] = json!({
            // The name in containerd and other tools after an import.
            "io.containerd.image.name": format!("docker.io/library/{name}"),
            "org.opencontainers.image.ref.name": version,
        });
        let (empty, sbom) = (Blob::new(b"{}".to_vec()), Blob::new(sbom));
        let artifact = Blob::json(&artifact(&index, &empty, &sbom));
        let mut attached = artifact.descriptor(MANIFEST);
        attached["artifactType"] = SBOM.into();
        blobs.extend([index, artifact, empty, sbom]);
        Ok(Self {
            name,
            digest,
            archive: layout(&[entry, attached], blobs)?,
        })
    }
}

/// Adds what the image of one architecture is of. Returns the descriptor of its manifest.
fn add_image(
    blobs: &mut Vec<Blob>,
    program: &str,
    version: &str,
    architecture: Architecture,
    binary: Vec<u8>,
) -> Result<Value, Error> {
    let files = tar(&[
        (CERTIFICATES.to_owned(), 0o644, certificates()),
        (program.to_owned(), 0o755, binary),
    ])?;
    let layer = Blob::new(gzip(&files)?);
    let config = config(program, version, architecture, &Blob::new(files));
    let config = Blob::json(&config);
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    }));
    let mut descriptor = manifest.descriptor(MANIFEST);
    descriptor["platform"] = json!({ "architecture": architecture.name(), "os": "linux" });
    blobs.extend([manifest, config, layer]);
    Ok(descriptor)
}

/// The archive of blobs, of which these are named.
fn layout(manifests: &[Value], blobs: Vec<Blob>) -> Result<Vec<u8>, Error> {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    let file = |name: &str, value: &Value| (name.to_owned(), 0o644, value.to_string().into_bytes());
    let mut files = vec![file("oci-layout", &version), file("index.json", &index)];
    for blob in blobs {
        files.push((format!("blobs/sha256/{}", blob.digest), 0o644, blob.bytes));
    }
    Ok(tar(&files)?)
}

/// The manifest of the list of parts, which registries show among the image's referrers.
fn artifact(index: &Blob, empty: &Blob, sbom: &Blob) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SBOM,
        "config": empty.descriptor(EMPTY),
        "layers": [sbom.descriptor(SBOM)],
        "subject": index.descriptor(INDEX),
        "annotations": { "org.opencontainers.image.created": CREATED },
    })
}

/// The configuration of an image. It has the digest of the uncompressed layer.
fn config(program: &str, version: &str, architecture: Architecture, files: &Blob) -> Value {
    json!({
        "created": CREATED,
        "architecture": architecture.name(),
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
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", files.digest)] },
        "history": [{ "created": CREATED, "created_by": "cargo xtask image" }],
    })
}

/// Mozilla's certificate authorities, of the version in the lock file.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn image(binary: &[u8]) -> Image {
        let binaries = Architecture::ALL
            .map(|one| (one, [binary, one.name().as_bytes()].concat()))
            .to_vec();
        Image::new("program", "1.2.3", binaries, b"{\"parts\":[]}".to_vec()).unwrap()
    }

    fn files(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mode = entry.header().mode().unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, (mode, bytes))
        });
        files.collect()
    }

    fn json(files: &BTreeMap<String, (u32, Vec<u8>)>, path: &str) -> Value {
        serde_json::from_slice(&files[path].1).unwrap()
    }

    /// The path of the file in a descriptor. Its size and digest must match.
    fn blob(files: &BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> String {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let bytes = &files[&path].1;
        assert_eq!(descriptor["size"], bytes.len());
        let found = HEXLOWER.encode(&Sha256::digest(bytes));
        assert_eq!(digest, format!("sha256:{found}"));
        path
    }

    #[test]
    fn the_same_program_has_the_same_image_and_another_a_different_one() {
        let (one, two) = (image(b"one"), image(b"two"));
        assert_eq!(one.archive, image(b"one").archive);
        assert_ne!(one.digest, two.digest);
    }

    #[test]
    fn the_list_of_parts_refers_to_the_image() {
        let image = image(b"program");
        let files = files(&image.archive);
        let entry = &json(&files, "index.json")["manifests"][1];
        assert_eq!(entry["artifactType"], SBOM);
        let artifact = json(&files, &blob(&files, entry));
        assert_eq!(artifact["subject"]["digest"], image.digest);
        assert_eq!(files[&blob(&files, &artifact["config"])].1, b"{}");
        let parts = blob(&files, &artifact["layers"][0]);
        assert_eq!(files[&parts].1, b"{\"parts\":[]}");
    }

    #[test]
    fn each_descriptor_matches_its_file() {
        let image = image(b"program for ");
        let outer = files(&image.archive);
        assert_eq!(json(&outer, "oci-layout")["imageLayoutVersion"], "1.0.0");
        let entry = &json(&outer, "index.json")["manifests"][0];
        assert_eq!(entry["digest"], image.digest);
        let index = json(&outer, &blob(&outer, entry));
        let platforms = index["manifests"].as_array().unwrap();
        assert_eq!(platforms.len(), Architecture::ALL.len());
        for (descriptor, architecture) in platforms.iter().zip(Architecture::ALL) {
            check_image(&outer, descriptor, architecture);
        }
    }

    fn check_image(
        outer: &BTreeMap<String, (u32, Vec<u8>)>,
        descriptor: &Value,
        architecture: Architecture,
    ) {
        let name = architecture.name();
        assert_eq!(descriptor["platform"]["architecture"], name);
        let manifest = json(outer, &blob(outer, descriptor));
        let config = json(outer, &blob(outer, &manifest["config"]));
        assert_eq!(config["architecture"], name);
        let layer = blob(outer, &manifest["layers"][0]);
        let mut unpacked = Vec::new();
        let mut decoder = GzDecoder::new(outer[&layer].1.as_slice());
        decoder.read_to_end(&mut unpacked).unwrap();
        let difference = format!("sha256:{}", Blob::new(unpacked.clone()).digest);
        assert_eq!(config["rootfs"]["diff_ids"][0], difference);
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["config"]["Entrypoint"], json!(["/program"]));

        let inner = files(&unpacked);
        let program = format!("program for {name}").into_bytes();
        assert_eq!(inner["program"], (0o755, program));
        let certificates = String::from_utf8(inner[CERTIFICATES].1.clone()).unwrap();
        assert!(certificates.matches("BEGIN CERTIFICATE").count() > 100);
    }
}
