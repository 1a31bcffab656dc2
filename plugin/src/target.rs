//! Which cluster is meant, and the commands that mean it too.

use std::path::PathBuf;

use clap::Args;

/// Which cluster and namespace, as for kubectl.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// Kubeconfig to use in place of KUBECONFIG and ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Namespace; by default that of the context.
    #[arg(short, long, global = true, value_parser = namespace)]
    pub namespace: Option<String>,
    /// Whether all namespaces are meant.
    #[arg(skip)]
    pub all_namespaces: bool,
    /// Whether nobody is there to answer a program for credentials.
    #[arg(skip)]
    pub is_unattended: bool,
}

impl Target {
    /// The same without what is empty, as where a script's variable isn't set: kubectl reads that so.
    #[must_use]
    pub fn without_empty(mut self) -> Self {
        self.kubeconfig = self.kubeconfig.filter(|path| !path.as_os_str().is_empty());
        for option in [&mut self.context, &mut self.namespace] {
            *option = option.take().filter(|value| !value.is_empty());
        }
        self
    }

    /// A command about objects of these names, or about all if there are none, as a person types it.
    pub fn typed(&self, command: &str, names: &[&str], namespace: &str) -> String {
        let mut words = vec!["kubectl", "scaleouttask", command];
        words.extend(names);
        if self.all_namespaces && names.is_empty() {
            words.push("-A");
        } else {
            words.extend(["-n", namespace]);
        }
        let mut typed: Vec<String> = words.into_iter().map(quoted).collect();
        if let Some(context) = &self.context {
            typed.extend(["--context".to_owned(), quoted(context)]);
        }
        if let Some(path) = &self.kubeconfig {
            typed.extend(["--kubeconfig".to_owned(), quoted(&path.to_string_lossy())]);
        }
        typed.join(" ")
    }
}

/// As a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The name of a namespace (RFC 1123), or nothing.
fn namespace(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(
            "can't be the name of a namespace: expected lower-case letters, digits and '-'"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_said_means_the_same_cluster() {
        let target = Target {
            kubeconfig: Some("/a b".into()),
            context: Some("there".to_owned()),
            ..Target::default()
        };
        assert_eq!(
            target.typed("why", &["a"], "web"),
            "kubectl scaleouttask why a -n web --context there --kubeconfig '/a b'"
        );
        let all = Target {
            all_namespaces: true,
            ..Target::default()
        };
        assert_eq!(
            all.typed("watch", &[], "web"),
            "kubectl scaleouttask watch -A"
        );
    }
}
