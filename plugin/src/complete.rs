//! What completes the command line, in bash, zsh and fish, by kubectl's protocol: a line a word, then a directive.

use clap::{Arg, ArgAction, Command, CommandFactory};
use kube::api::ListParams;

use crate::{
    cli::Cli,
    cluster::{Cluster, aside},
    output::say,
    target::Target,
    text::clean,
};

/// Tells the shell not to offer files.
const NO_FILES: &str = ":4";
/// Tells the shell to offer files.
const FILES: &str = ":0";
/// How many objects one page of a list has.
const PAGE: u32 = 500;
/// Nobody waits longer for a key.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// What the last word may become.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// One of these.
    Words(Vec<String>),
    /// The name of an object, but none of these.
    Name(Vec<String>),
    File,
    Nothing,
}

/// Prints what the last of these words may become.
pub async fn complete(words: &[String]) {
    let (last, before) = words
        .split_last()
        .map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut directive = NO_FILES;
    let found = match wanted(&Cli::command(), before, last) {
        Wanted::Words(words) => words,
        Wanted::Name(taken) => {
            let mut found = Vec::new();
            // Those that were found in time are better than none.
            let _ = tokio::time::timeout(PATIENCE, names(target(before), &mut found)).await;
            found.retain(|name| !taken.contains(name));
            found
        }
        Wanted::File => {
            directive = FILES;
            Vec::new()
        }
        Wanted::Nothing => Vec::new(),
    };
    // Of `--option=value` the shell completes what is behind the sign.
    let is_value = last.starts_with('-') && last.contains('=');
    let typed = last.split_once('=').filter(|_| is_value);
    let typed = typed.map_or(last, |(_, value)| value);
    for word in found.iter().filter(|word| word.starts_with(typed)) {
        say(word);
    }
    say(directive);
}

fn wanted(cli: &Command, before: &[String], last: &str) -> Wanted {
    let mut command = cli;
    let mut awaits: Option<&Arg> = None;
    let mut taken = Vec::new();
    for word in before {
        if awaits.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            awaits = option(cli, command, word)
                .filter(|arg| takes_value(arg) && joined(arg, word).is_none());
        } else if command.has_subcommands() {
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None => return Wanted::Nothing,
            }
        } else {
            taken.push(word.clone());
        }
    }
    if let Some(arg) = awaits {
        return value(arg);
    }
    if last.contains('=')
        && let Some(arg) = option(cli, command, last)
    {
        return value(arg);
    }
    if last.starts_with('-') {
        return Wanted::Words(options(cli, command));
    }
    if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|one| !one.is_hide_set());
        return Wanted::Words(visible.map(|one| one.get_name().to_owned()).collect());
    }
    let chooses = ["-A", "--all-namespaces", "--all", "-l", "--selector"];
    let is_chosen = |word: &String| chooses.contains(&word.split('=').next().unwrap_or_default());
    let mut positionals = command.get_positionals();
    match positionals.next().map(|arg| arg.get_id().as_str()) {
        Some("name") if taken.is_empty() => Wanted::Name(taken),
        Some("names") if !before.iter().any(is_chosen) => Wanted::Name(taken),
        _ => Wanted::Nothing,
    }
}

/// What may stand behind an option.
fn value(arg: &Arg) -> Wanted {
    if arg.get_id() == "kubeconfig" {
        return Wanted::File;
    }
    let values = arg.get_possible_values();
    let values = values.iter().map(|value| value.get_name().to_owned());
    Wanted::Words(values.collect())
}

/// The value in the same word as its option, such as `--namespace=web`, `-n=web` or `-nweb`.
fn joined<'a>(arg: &Arg, word: &'a str) -> Option<&'a str> {
    if let Some((_, value)) = word.split_once('=') {
        return Some(value);
    }
    let value = word.strip_prefix('-')?.strip_prefix(arg.get_short()?)?;
    Some(value).filter(|value| !value.is_empty())
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The option that a word is, such as `--output`, `--output=json`, `-o` or `-ojson`.
fn option<'a>(cli: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    let is_it = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| {
            name.strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(short))
        }),
    };
    command
        .get_arguments()
        .chain(cli.get_arguments())
        .find(is_it)
}

fn options(cli: &Command, command: &Command) -> Vec<String> {
    let args = command.get_arguments().chain(cli.get_arguments());
    let longs = args
        .filter_map(Arg::get_long)
        .map(|long| format!("--{long}"));
    let mut longs: Vec<String> = longs.chain(["--help".to_owned()]).collect();
    longs.sort();
    longs.dedup();
    longs
}

/// The cluster and namespace that these words name.
fn target(words: &[String]) -> Target {
    let cli = Cli::command();
    let value = |id: &str| {
        let mut found = None;
        for (at, word) in words.iter().enumerate() {
            let arg = option(&cli, &cli, word).filter(|arg| arg.get_id() == id);
            if let Some(arg) = arg.filter(|_| word.starts_with('-')) {
                let apart = words.get(at + 1).map(String::as_str);
                found = joined(arg, word).or(apart).map(str::to_owned);
            }
        }
        found
    };
    let target = Target {
        kubeconfig: value("kubeconfig").map(Into::into),
        context: value("context"),
        namespace: value("namespace"),
        all_namespaces: false,
        is_unattended: true,
    };
    target.without_empty()
}

/// Adds the names of the objects there; none where they can't be had.
async fn names(target: Target, found: &mut Vec<String>) {
    let Ok(Ok(cluster)) = aside(move || Cluster::of(&target)).await else {
        return;
    };
    let mut page = ListParams::default().limit(PAGE);
    while let Ok(objects) = cluster.objects().list_metadata(&page).await {
        let names = objects.items.into_iter();
        let names = names.filter_map(|one| one.metadata.name);
        let names = names.map(|name| clean(&name));
        found.extend(names);
        match objects.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn each_place_has_its_words() {
        let cli = Cli::command();
        let offered = |before: &str, last: &str| match wanted(&cli, &words(before), last) {
            Wanted::Words(words) => words.join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(offered("", ""), "track watch why poll suspend resume");
        assert_eq!(offered("-n web", ""), "track watch why poll suspend resume");
        for command in [
            "watch",
            "why",
            "poll",
            "suspend",
            "resume",
            "watch a",
            "watch -n web",
            "watch --context=c",
        ] {
            assert!(offered(command, "").starts_with("Name"), "{command}");
        }
        // What is named already isn't offered again; an option's value is no name.
        assert_eq!(offered("watch -n web a", ""), r#"Name(["a"])"#);
        assert_eq!(offered("watch -nweb a", ""), r#"Name(["a"])"#);
        assert_eq!(offered("why a", ""), "Nothing");
        assert_eq!(offered("track", ""), "Nothing");
        assert_eq!(offered("track T-1 --output", ""), "plain json");
        assert_eq!(offered("track T-1 -o", ""), "plain json");
        assert_eq!(offered("track T-1", "--output="), "plain json");
        assert_eq!(offered("watch -n", ""), "");
        assert_eq!(offered("watch --kubeconfig", ""), "File");
        for command in [
            "watch -A",
            "watch --all",
            "watch -l a=b",
            "watch --selector=a",
        ] {
            assert_eq!(offered(command, ""), "Nothing", "{command}");
        }
        assert_eq!(offered("nonsense", ""), "Nothing");
        let options = offered("track", "--");
        assert!(
            options.contains("--wait-for-nodes") && options.contains("--namespace"),
            "{options}"
        );
        assert!(!offered("watch", "--").contains("--ttl"));
    }

    #[test]
    fn names_are_those_of_the_namespace_that_the_words_name() {
        let target = target(&words("watch -n web --context=there --kubeconfig k"));
        assert_eq!(target.namespace.as_deref(), Some("web"));
        assert_eq!(target.context.as_deref(), Some("there"));
        assert_eq!(target.kubeconfig.unwrap().to_str(), Some("k"));
        for line in [
            "-n=web watch",
            "watch -nweb",
            "--namespace=web watch",
            "watch --namespace web",
        ] {
            let target = super::target(&words(line));
            assert_eq!(target.namespace.as_deref(), Some("web"), "{line}");
        }
    }
}
