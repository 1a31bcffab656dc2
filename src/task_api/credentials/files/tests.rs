//! What becomes of each file, as the vendor's tools write it, and of broken ones.

use std::{fs, path::Path};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{
    super::{Credentials, error::FileProblem, plan::Plan, source::Environment, sts::Role},
    cli, directory, ini,
};

type Read = fn(&Path, &Environment) -> Result<Plan, FileProblem>;

/// A plan in one line, with its secrets.
fn told(plan: &Plan) -> String {
    match plan {
        Plan::Ready(key) => told_key(key),
        Plan::AssumeRole { base, role, sts } => {
            format!("{} at {sts} with [{}]", told_role(role), told(base))
        }
        Plan::AssumeRoleWithOidc {
            provider_arn,
            token_file,
            role,
            sts,
        } => {
            let file = token_file.display();
            format!("{} at {sts} with {file} of {provider_arn}", told_role(role))
        }
        Plan::InstanceRole(name) => format!("instance {}", name.as_deref().unwrap_or("any")),
        Plan::Uri(uri) => format!("uri {uri}"),
    }
}

fn told_key(key: &Credentials) -> String {
    let secret = key.access_key_secret.expose_secret();
    let token = key.security_token.as_ref();
    let token = token.map_or(String::new(), |token| format!(" {}", token.expose_secret()));
    format!("{} {secret}{token}", key.access_key_id)
}

fn told_role(role: &Role) -> String {
    let parts = [
        Some(role.arn.clone()),
        role.session_name.clone(),
        role.duration.map(|seconds| seconds.to_string()),
        role.policy.clone(),
        role.external_id.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("role {}", parts.join(" "))
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter();
    Environment::new(
        variables.map(|(name, value)| (format!("ALIBABA_CLOUD_{name}"), (*value).to_owned())),
        None,
    )
}

fn read(read: Read, content: &[u8], variables: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, content).unwrap();
    match read(&path, &environment(variables)) {
        Ok(plan) => told(&plan),
        Err(problem) => problem.to_string(),
    }
}

/// A file with these profiles, of which the first is current.
fn config(profiles: &[&str]) -> String {
    format!(
        r#"{{"current":"p","profiles":[{}],"meta_path":""}}"#,
        profiles.join(",")
    )
}

const KEY: &str = r#""access_key_id":"id","access_key_secret":"s""#;

#[test]
fn each_mode_of_the_cli_is_read() {
    let profile = |rest: &str| config(&[&format!(r#"{{"name":"p",{KEY},{rest}}}"#)]);
    let role = r#""ram_role_arn":"r","ram_session_name":"me","expired_seconds":900"#;
    for (rest, expected) in [
        (r#""mode":"AK""#.to_owned(), "id s"),
        // A token of an earlier mode isn't the key's.
        (r#""mode":"AK","sts_token":"old""#.to_owned(), "id s"),
        (r#""mode":"ak""#.to_owned(), "id s"),
        (r#""mode":"""#.to_owned(), "id s"),
        (r#""region_id":"cn-x","sts_token":"""#.to_owned(), "id s"),
        (r#""mode":"StsToken","sts_token":"t""#.to_owned(), "id s t"),
        (
            format!(r#""mode":"RamRoleArn",{role},"sts_region":"cn-x","sts_token":"old""#),
            "role r me 900 at https://sts.cn-x.aliyuncs.com/ with [id s]",
        ),
        (
            format!(r#""mode":"RamRoleArn",{role},"sts_region":"cn-x","enable_vpc":true"#),
            "role r me 900 at https://sts-vpc.cn-x.aliyuncs.com/ with [id s]",
        ),
        (
            r#""mode":"RamRoleArn","ram_role_arn":"r","expired_seconds":0,"policy":"{}","external_id":"e""#
                .to_owned(),
            "role r {} e at https://sts.aliyuncs.com/ with [id s]",
        ),
        (r#""mode":"EcsRamRole","ram_role_name":"n""#.to_owned(), "instance n"),
        (r#""mode":"EcsRamRole","ram_role_name":"""#.to_owned(), "instance any"),
        (
            format!(r#""mode":"OIDC",{role},"oidc_provider_arn":"o","oidc_token_file":"/t""#),
            "role r me 900 at https://sts.aliyuncs.com/ with /t of o",
        ),
        (
            r#""mode":"CredentialsURI","credentials_uri":"http://localhost:1/a""#.to_owned(),
            "uri http://localhost:1/a",
        ),
    ] {
        assert_eq!(read(cli::read, profile(&rest).as_bytes(), &[]), expected, "{rest}");
    }
}

#[test]
fn chained_profiles_of_the_cli_are_followed() {
    let file = config(&[
        r#"{"name":"p","mode":"ChainableRamRoleArn","source_profile":"b","ram_role_arn":"r1","sts_endpoint":"sts.a.com"}"#,
        r#"{"name":"b","mode":"ChainableRamRoleArn","source_profile":"c","ram_role_arn":"r2"}"#,
        r#"{"name":"c","mode":"EcsRamRole"}"#,
        r#"{"name":"loop","mode":"ChainableRamRoleArn","source_profile":"pool","ram_role_arn":"r"}"#,
        r#"{"name":"pool","mode":"ChainableRamRoleArn","source_profile":"loop","ram_role_arn":"r"}"#,
    ]);
    assert_eq!(
        read(cli::read, file.as_bytes(), &[]),
        "role r1 at https://sts.a.com/ with [role r2 at https://sts.aliyuncs.com/ with [instance any]]"
    );
    let error = read(cli::read, file.as_bytes(), &[("PROFILE", "loop")]);
    assert!(error.contains("source_profile leads back"), "{error}");
}

#[test]
fn the_current_profile_is_chosen_or_the_only_one_or_default() {
    let named = |name: &str, id: &str| {
        format!(r#"{{"name":"{name}","mode":"AK","access_key_id":"{id}","access_key_secret":"s"}}"#)
    };
    let (a, b, default) = (named("a", "1"), named("b", "2"), named("default", "3"));
    let list = |current: &str, profiles: &[&str]| {
        format!(r#"{{{current}"profiles":[{}]}}"#, profiles.join(","))
    };
    let nameless = r#"{"mode":"AK","access_key_id":"x","access_key_secret":"x"}"#;
    for (file, variables, expected) in [
        (list(r#""current":"b","#, &[&a, &b]), &[][..], "2 s"),
        (
            list(r#""current":"b","#, &[&a, &b]),
            &[("PROFILE", "a")],
            "1 s",
        ),
        (list("", &[&a]), &[], "1 s"),
        (list(r#""current":"","#, &[&a]), &[], "1 s"),
        (list("", &[&a, &b, &default]), &[], "3 s"),
        // One profile without a name hinders no other.
        (list(r#""current":"a","#, &[nameless, &a]), &[], "1 s"),
        (format!("\u{feff}{}", list("", &[&a])), &[], "1 s"),
        (
            list("", &[&a, &b]),
            &[],
            "doesn't say which of its profiles to use: it has a, b; name one of them in \
             ALIBABA_CLOUD_PROFILE",
        ),
        (
            list(r#""current":"c","#, &[&a]),
            &[],
            "has no profile c: it has a; name one of them in ALIBABA_CLOUD_PROFILE",
        ),
        (
            list(r#""current":"c","#, &[]),
            &[],
            "has no profile c: it has none",
        ),
    ] {
        assert_eq!(
            read(cli::read, file.as_bytes(), variables),
            expected,
            "{file}"
        );
    }
}

#[test]
fn broken_configurations_of_the_cli_are_named() {
    let profile = |rest: &str| config(&[&format!(r#"{{"name":"p",{rest}}}"#)]);
    let known = "use one of AK, StsToken, RamRoleArn, EcsRamRole, OIDC, ChainableRamRoleArn, \
                 CredentialsURI";
    for (file, expected) in [
        (String::new(), "isn't valid JSON (line 1, column 0)".to_owned()),
        ("{\"profiles\": [\n  hunter2".to_owned(), "isn't valid JSON (line 2, column 3)".to_owned()),
        ("[]".to_owned(), "isn't a file of profiles: it needs \"profiles\", a list of objects".to_owned()),
        (
            profile(r#""mode":"CloudSSO""#),
            format!("has profile p with mode CloudSSO, which needs a person to log in: {known}"),
        ),
        (
            profile(r#""mode":"OAuth""#),
            format!("has profile p with mode OAuth, which needs a person to log in: {known}"),
        ),
        (
            profile(r#""mode":"External","process_command":"cat""#),
            format!("has profile p with mode External, which needs a person to log in: {known}"),
        ),
        (
            profile(r#""mode":"\u001b[31mX\u202e""#),
            format!("has profile p with mode ?[31mX?, which isn't supported: {known}"),
        ),
        (
            profile(&format!(r#"{KEY},"sts_token":"t""#)),
            format!("has profile p without a mode, and what it has fits more than one: {known}"),
        ),
        (
            profile(r#""mode":"AK","access_key_id":"id","access_key_secret":" ""#),
            "has profile p without access_key_secret, which it needs".to_owned(),
        ),
        (
            profile(&format!(r#""mode":"StsToken",{KEY}"#)),
            "has profile p without sts_token, which it needs".to_owned(),
        ),
        (
            profile(&format!(r#""mode":"RamRoleArn",{KEY}"#)),
            "has profile p without ram_role_arn, which it needs".to_owned(),
        ),
        (
            profile(r#""mode":"ChainableRamRoleArn","source_profile":"q","ram_role_arn":"r""#),
            "has profile p with source_profile q, which isn't there".to_owned(),
        ),
        (
            profile(&format!(
                r#""mode":"RamRoleArn",{KEY},"ram_role_arn":"r","sts_endpoint":"http://a.com""#
            )),
            "has profile p, whose sts_endpoint is plain http to another machine: use https, or allow \
             insecure endpoints"
                .to_owned(),
        ),
        (
            profile(&format!(
                r#""mode":"RamRoleArn",{KEY},"ram_role_arn":"r","expired_seconds":"soon""#
            )),
            "has profile p, whose expired_seconds is no number of seconds".to_owned(),
        ),
        (
            profile(r#""mode":"CredentialsURI","credentials_uri":"http://a.com/hunter2""#),
            "has profile p, whose credentials_uri is plain http to another machine: use https, or \
             allow insecure endpoints"
                .to_owned(),
        ),
    ] {
        assert_eq!(read(cli::read, file.as_bytes(), &[]), expected, "{file}");
    }
}

#[test]
fn each_type_of_the_credentials_file_is_read() {
    let key = "access_key_id = id\naccess_key_secret = s\n";
    for (file, expected) in [
        (format!("[default]\ntype = access_key\n{key}"), "id s"),
        (format!("[default]                          # the usual one\nenable = true\n{key}"), "id s"),
        (
            "[default]\ntype=access_key # note\naccess_key_id=id # note\naccess_key_secret=s ; note\n"
                .to_owned(),
            "id s",
        ),
        (format!("# note\n; note\n\n[other]\nx = y\n[default]\n{key}"), "id s"),
        (format!("\u{feff}[default]\r\n{}", key.replace('\n', "\r\n")), "id s"),
        (format!("[default]\ntype = ACCESS_KEY\nsecurity_token = old\n{key}"), "id s"),
        (format!("[default]\ntype = sts\nsecurity_token = t\n{key}"), "id s t"),
        (
            format!(
                "[default]\ntype = ram_role_arn\nrole_arn = r\nrole_session_name = me\npolicy = {{}}\n{key}"
            ),
            "role r me {} at https://sts.aliyuncs.com/ with [id s]",
        ),
        ("[default]\ntype = ecs_ram_role\nrole_name = n\n".to_owned(), "instance n"),
        ("[default]\ntype = ecs_ram_role\n".to_owned(), "instance any"),
        (
            "[default]\ntype = oidc_role_arn\nrole_arn = r\noidc_provider_arn = o\n\
             oidc_token_file_path = /t\nrole_session_name = me\n"
                .to_owned(),
            "role r me at https://sts.aliyuncs.com/ with /t of o",
        ),
    ] {
        assert_eq!(read(ini::read, file.as_bytes(), &[]), expected, "{file}");
    }
    let file = "[default]\ntype = oidc_role_arn\nrole_arn = r\noidc_provider_arn = o\n";
    let told = read(ini::read, file.as_bytes(), &[("OIDC_TOKEN_FILE", "/env")]);
    assert!(told.contains("with /env of o"), "{told}");
}

#[test]
fn broken_credentials_files_are_named() {
    let types = "use one of access_key, sts, ram_role_arn, ecs_ram_role, oidc_role_arn";
    for (file, expected) in [
        ("", "has no profile default: it has none".to_owned()),
        (
            "[a]\nx = y\n[b]\n",
            "has no profile default: it has a, b; name one of them in ALIBABA_CLOUD_PROFILE"
                .to_owned(),
        ),
        ("[default\n", "isn't a valid ini file (line 1)".to_owned()),
        (
            // Not taken for a part of the next line, and so of another profile.
            "[default]\naccess_key_id = A\naccess_key_secret = B\noops\n[prod]\naccess_key_id = C\n",
            "isn't a valid ini file (line 4)".to_owned(),
        ),
        (
            "[default]\npolicy =\n  {\"Statement\": []}\n",
            "isn't a valid ini file (line 3)".to_owned(),
        ),
        (
            "[default]\npolicy = {\\\n  }\n",
            "isn't a valid ini file (line 2)".to_owned(),
        ),
        (
            "[default]\nno value\n",
            "isn't a valid ini file (line 2)".to_owned(),
        ),
        (
            "[default]\nenable = false\n",
            "has profile default switched off: set its enable to true, or choose another"
                .to_owned(),
        ),
        (
            "[default]\ntype = rsa_key_pair\n",
            format!("has profile default with type rsa_key_pair, which isn't supported: {types}"),
        ),
        (
            "[default]\naccess_key_id = id\naccess_key_secret = s\nsecurity_token = t\n",
            format!(
                "has profile default without a type, and what it has fits more than one: {types}"
            ),
        ),
        (
            "[default]\ntype = access_key\naccess_key_id = hunter2\n",
            "has profile default without access_key_secret, which it needs".to_owned(),
        ),
    ] {
        assert_eq!(read(ini::read, file.as_bytes(), &[]), expected, "{file}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("binary"), b"\xff\xfe{").unwrap();
    fs::write(at("large"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    for (name, expected) in [
        ("nowhere", "doesn't exist: check the path"),
        ("dangling", "doesn't exist: check the path"),
        ("", "isn't a file: check the path"),
        ("binary", "isn't UTF-8 text"),
        ("large", "is larger than 1 MiB"),
    ] {
        for read in [cli::read as Read, ini::read] {
            let problem = read(&at(name), &environment(&[]))
                .err()
                .map(|problem| problem.to_string());
            assert_eq!(problem.as_deref(), Some(expected), "{name}");
        }
    }
}

fn key_files(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[test]
fn a_key_is_read_from_the_files_of_a_directory() {
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let rows: [(Files, &str); 6] = [
        (
            &[("accessKeyId", b"id\n"), ("accessKeySecret", b" s\r\n")],
            "id s",
        ),
        (
            &[
                ("accessKeyId", b"id"),
                ("accessKeySecret", b"s"),
                ("securityToken", b"t"),
            ],
            "id s t",
        ),
        (
            &[
                ("accessKeyId", b"id"),
                ("accessKeySecret", b"s"),
                ("securityToken", b"\n"),
            ],
            "id s",
        ),
        (
            &[("accessKeyId", b"id")],
            "has no file accessKeySecret, or an empty one",
        ),
        (
            &[("accessKeyId", b""), ("accessKeySecret", b"s")],
            "has no file accessKeyId, or an empty one",
        ),
        (
            &[("accessKeyId", b"\xff"), ("accessKeySecret", b"s")],
            "has a file accessKeyId that isn't UTF-8 text",
        ),
    ];
    for (files, expected) in rows {
        let directory = key_files(files);
        let told = match directory::read(directory.path()) {
            Ok(key) => told_key(&key),
            Err(problem) => problem.to_string(),
        };
        assert_eq!(told, expected);
    }
    let nowhere = directory::read(Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert_eq!(nowhere, "isn't a directory: check the path");
}
