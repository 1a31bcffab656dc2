//! A running etcd and kube-apiserver.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::variable;
use crate::directory::Directory;
use crate::error::{create_dir, write};
use crate::kubeconfig::{Credentials, kubeconfig};
use crate::tls::{Authority, token_keys};
use crate::{Binaries, Error, Options, Process, StderrProgress, random};

/// How long the API server may take to become ready.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How often readiness is checked. Each check runs kubectl.
const READY_POLL: Duration = Duration::from_millis(100);

/// How long the API server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How often a start is tried if another process takes a port in between.
const ATTEMPTS: u32 = 3;

/// A real etcd and kube-apiserver on loopback, with RBAC and TLS.
///
/// Both are stopped and their files removed when this is dropped, and also when this process panics,
/// exits or is killed.
#[derive(Debug)]
pub struct ControlPlane {
    // In the order in which they must be stopped.
    apiserver: Option<Process>,
    etcd: Process,
    directory: Directory,
    authority: Authority,
    binaries: Binaries,
    server: SocketAddr,
    apiserver_args: Vec<String>,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready. The programs are located or built first,
    /// with progress on standard error.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let binaries = Binaries::locate_or_build(&mut StderrProgress::default())?;
        Self::start_with(&binaries, options)
    }

    /// Starts a control plane with these programs and waits until it is ready.
    pub fn start_with(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            match Self::try_start(binaries, options) {
                Err(error) if error.is_port_taken() && attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    /// The kubeconfig file of the administrator. The certificate and token are embedded.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> String {
        format!("https://{}", self.server)
    }

    /// A kubeconfig file for another user, who has the permissions that RBAC grants to that name or
    /// group. A service account has a name such as `system:serviceaccount:NAMESPACE:NAME`.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<PathBuf, Error> {
        let identity = self.authority.client(name, group)?;
        let path = self.path(&format!("user-{}.kubeconfig", random::token()?));
        let authority = self.authority.certificate();
        let user = Credentials::Certificate(&identity);
        write(&path, kubeconfig(&self.server(), &authority, &user))?;
        Ok(path)
    }

    /// kubectl as the administrator, with its own home directory. It reads and writes none of the
    /// user's files.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(self.binaries.kubectl());
        kubectl
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.directory.path())
            .env("KUBERC", "off")
            .env_remove("KUBECACHEDIR");
        kubectl
    }

    /// The programs that run here.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// A private directory that is removed with the control plane.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The audit log, with one JSON object (`audit.k8s.io/v1`, kind `Event`) on each line. The line of
    /// a request is written before its response. A watch has one line for its start and one for its
    /// end.
    #[must_use]
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// Fails if etcd or the API server exited by itself.
    pub fn check_running(&mut self) -> Result<(), Error> {
        self.etcd.check_running()?;
        self.apiserver
            .as_mut()
            .map_or(Ok(()), Process::check_running)
    }

    /// Stops the API server in an orderly way. etcd keeps running.
    pub fn stop_apiserver(&mut self) -> Result<(), Error> {
        self.apiserver
            .take()
            .map_or(Ok(()), |mut process| process.stop(STOP_LIMIT).map(drop))
    }

    /// Kills the API server, like a crash: open connections just break. etcd keeps running.
    pub fn kill_apiserver(&mut self) -> Result<(), Error> {
        self.apiserver
            .take()
            .map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Starts the API server again, at the same address and with the same data, and waits until it is
    /// ready. Does nothing if it runs.
    pub fn start_apiserver(&mut self) -> Result<(), Error> {
        if self.apiserver.is_none() {
            self.apiserver = Some(self.spawn_apiserver()?);
        }
        self.wait_ready()
    }

    fn try_start(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let directory = Directory::create()?;
        let path = |name: &str| directory.path().join(name);
        let [etcd_client, etcd_peer, secure] = random::ports()?;
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, secure));
        let authority = Authority::create()?;
        let token = random::token()?;
        write_files(directory.path(), &authority, options, &token)?;
        write(
            &path("kubeconfig"),
            kubeconfig(
                &format!("https://{server}"),
                &authority.certificate(),
                &Credentials::Token(&token),
            ),
        )?;
        let etcd = Process::spawn(
            "etcd",
            &etcd_command(binaries, &path("etcd"), etcd_client, etcd_peer),
            &path("etcd.log"),
        )?;
        let audit_log = audit_log(directory.path())?;
        let mut apiserver_args = apiserver_args(directory.path(), &audit_log, etcd_client, secure);
        apiserver_args.extend(options.arguments());
        let mut plane = Self {
            apiserver: None,
            etcd,
            kubeconfig: path("kubeconfig"),
            audit_log,
            directory,
            authority,
            binaries: binaries.clone(),
            server,
            apiserver_args,
        };
        plane.start_apiserver()?;
        Ok(plane)
    }

    fn spawn_apiserver(&self) -> Result<Process, Error> {
        let mut command = Command::new(self.binaries.kube_apiserver());
        command.args(&self.apiserver_args);
        Process::spawn("kube-apiserver", &command, &self.path("kube-apiserver.log"))
    }

    fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while !self.is_ready() {
            self.check_running()?;
            if Instant::now() >= deadline {
                let log = self
                    .apiserver
                    .as_ref()
                    .map(Process::log_tail)
                    .unwrap_or_default();
                return Err(Error::NotReady {
                    waited: START_LIMIT,
                    log,
                });
            }
            thread::sleep(READY_POLL);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        // Cheaper than to run kubectl while nothing listens.
        TcpStream::connect_timeout(&self.server, READY_POLL).is_ok()
            && self
                .kubectl()
                .args(["get", "--raw", "/readyz", "--request-timeout=5s"])
                .output()
                .is_ok_and(|answer| answer.status.success() && answer.stdout == b"ok")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The path of the audit log: in the control plane's directory, or in `$SCALEOUTTASK_AUDIT_DIR` with a
/// unique name, to keep it.
fn audit_log(directory: &Path) -> Result<PathBuf, Error> {
    let Some(kept) = variable("SCALEOUTTASK_AUDIT_DIR") else {
        return Ok(directory.join("audit.log"));
    };
    create_dir(&kept)?;
    Ok(kept.join(format!("{}.log", random::token()?)))
}

/// Writes all files that the API server reads.
fn write_files(
    directory: &Path,
    authority: &Authority,
    options: &Options,
    token: &str,
) -> Result<(), Error> {
    let serving = authority.server(&[
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "kubernetes.default.svc",
    ])?;
    let (token_public, token_private) = token_keys()?;
    let files = [
        ("ca.crt", authority.certificate()),
        ("serving.crt", serving.certificate),
        ("serving.key", serving.key),
        ("service-accounts.pub", token_public),
        ("service-accounts.key", token_private),
        (
            "tokens.csv",
            format!("{token},admin,admin,system:masters\n"),
        ),
        ("audit-policy.yaml", options.audit_policy()),
    ];
    files
        .iter()
        .try_for_each(|(name, contents)| write(&directory.join(name), contents))?;
    create_dir(&directory.join("etcd"))
}

fn etcd_command(binaries: &Binaries, data: &Path, client: u16, peer: u16) -> Command {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut etcd = Command::new(binaries.etcd());
    etcd.arg("--data-dir").arg(data).args([
        // The data needn't survive a power failure, so nothing has to wait for the disk.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={}", url(client)),
        format!("--advertise-client-urls={}", url(client)),
        format!("--listen-peer-urls={}", url(peer)),
        format!("--initial-advertise-peer-urls={}", url(peer)),
        format!("--initial-cluster=default={}", url(peer)),
    ]);
    etcd
}

fn apiserver_args(directory: &Path, audit_log: &Path, etcd: u16, secure: u16) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", directory.join(name).display());
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={secure}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Nothing uses the service `kubernetes`, so it needs no endpoints.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", "service-accounts.pub"),
        file("service-account-signing-key-file", "service-accounts.key"),
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "serving.crt"),
        file("tls-private-key-file", "serving.key"),
        file("token-auth-file", "tokens.csv"),
        file("audit-policy-file", "audit-policy.yaml"),
        format!("--audit-log-path={}", audit_log.display()),
    ]
}
