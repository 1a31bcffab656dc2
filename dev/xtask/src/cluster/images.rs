//! The images of the controller and the simulator.

use std::path::Path;

use super::{Error, run, step};
use crate::image::{self, Choice};

/// Where the nodes get the images from.
pub enum Images {
    /// They are on every node already.
    Imported,
    /// They are built and imported into the containerd of this machine, which is the node.
    Import,
    /// They are pulled from a registry, such as `registry.example.com/team`.
    In(String),
}

impl Images {
    /// What the arguments of a command say.
    pub fn of(arguments: &[&str]) -> Option<Self> {
        match arguments {
            [] => Some(Self::Imported),
            ["--import"] => Some(Self::Import),
            ["--registry", registry] => Some(Self::In((*registry).to_owned())),
            _ => None,
        }
    }

    /// The prefix of image names.
    pub fn prefix(&self) -> String {
        match self {
            Self::Imported | Self::Import => String::new(),
            Self::In(registry) => format!("{}/", registry.trim_end_matches('/')),
        }
    }

    /// Builds and imports them, where that is asked for.
    pub fn prepare(&self) -> Result<(), Error> {
        if matches!(self, Self::Import) {
            step("Build the images and import them on this node");
            for program in ["scaleouttask-controller", "simulator"] {
                import(&image::build(&Choice::for_this_machine(program))?)?;
            }
        }
        Ok(())
    }
}

fn import(archive: &Path) -> Result<(), Error> {
    let archive = archive.to_string_lossy();
    let import = ["--namespace", "k8s.io", "images", "import", &archive];
    run(Path::new("ctr"), &import).map(drop)
}
