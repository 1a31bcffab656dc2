//! What the cases need: an API server, a task API, name servers, and the files that say where these are.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use controlplane::{ControlPlane, Options, Process};
use simulator::Simulator;

use super::{
    Error,
    cases::{Case, Outcome, SERVER, SILENT_SERVER, VOID},
    server::{Answer, Server},
};
use crate::cluster::repository;

/// A task that has ended, and an STS.
const SCRIPT: &str = "tasks: [{id: T-1, duration: 0s}]\nsts: {}\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";
/// How long an object may take in the worst case, and the log's word on it.
const LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);

/// All that runs. Dropped at the end.
pub struct Stage {
    plane: ControlPlane,
    task_api: Simulator,
    server: Server,
    program: PathBuf,
}

impl Stage {
    /// In the namespaces of this process alone.
    pub fn set(program: &Path) -> Result<Self, Error> {
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["route", "add", VOID, "dev", "lo"])?;
        let plane = ControlPlane::start(&Options::default())?;
        for name in ["resolv.conf", "hosts"] {
            let own = plane.directory().join(name);
            fs::write(&own, HOSTS)?;
            run(
                "mount",
                &["--bind", &own.to_string_lossy(), &format!("/etc/{name}")],
            )?;
        }
        let crd = repository().join("crds/scaleouttasks.yaml");
        let crd = crd.to_string_lossy();
        kubectl(&plane, &["apply", "--filename", &crd])?;
        let established = ["wait", "--for=condition=Established", "--filename", &crd];
        kubectl(&plane, &established)?;
        let task_api = Simulator::start(SCRIPT.parse()?)?;
        let server = Server::start(SERVER)?;
        Server::start(SILENT_SERVER)?;
        let stage = Self {
            plane,
            task_api,
            server,
            program: program.to_owned(),
        };
        for port in [stage.api_server_port(), stage.task_api.address().port()] {
            lead_to_ipv4(port)?;
        }
        Ok(stage)
    }

    /// Plays one case. Says how long it took.
    pub fn play(&self, index: usize, case: &Case) -> Result<Duration, Error> {
        fs::write("/etc/resolv.conf", case.resolv_conf)?;
        fs::write("/etc/hosts", format!("{HOSTS}{}", case.hosts))?;
        self.server.play(case.zone);
        let name = format!("case-{index}");
        self.create(&name)?;
        let began = Instant::now();
        let controller = self.start_controller(&name, case.domain)?;
        let result = match case.outcome {
            Outcome::Finished(limit) => self.is_finished(&name, began, limit),
            Outcome::Says(why) => says(&controller, why, began),
        };
        let took = began.elapsed();
        self.server.play(|_, _| Answer::Silence);
        result
            .map(|()| took)
            .map_err(|why| Error::Case(why, controller.log_tail()))
    }

    fn create(&self, name: &str) -> Result<(), Error> {
        let object = format!(
            "{{apiVersion: scaleout.dev/v1alpha1, kind: ScaleOutTask, metadata: {{name: {name}}}, \
             spec: {{taskId: T-1}}}}"
        );
        let file = self.plane.directory().join(format!("{name}.yaml"));
        fs::write(&file, object)?;
        kubectl(
            &self.plane,
            &["create", "--filename", &file.to_string_lossy()],
        )?;
        Ok(())
    }

    /// The API server has a certificate for another name.
    fn start_controller(&self, name: &str, domain: &str) -> Result<Process, Error> {
        let directory = self.plane.directory();
        let port = self.task_api.address().port();
        let kubeconfig = fs::read_to_string(self.plane.kubeconfig())?.replace(
            &format!("server: {}", self.plane.server()),
            &format!(
                "server: https://api.{domain}:{}\n    tls-server-name: 127.0.0.1",
                self.api_server_port()
            ),
        );
        let own_kubeconfig = directory.join(format!("{name}.kubeconfig"));
        fs::write(&own_kubeconfig, kubeconfig)?;
        let token = directory.join("token");
        fs::write(&token, "token")?;
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", own_kubeconfig)
            .env("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r")
            .env(
                "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
                "acs:ram::1:oidc-provider/p",
            )
            .env("ALIBABA_CLOUD_OIDC_TOKEN_FILE", token)
            .env(
                "ALIBABA_CLOUD_STS_ENDPOINT",
                format!("http://sts.{domain}:{port}"),
            )
            .args(["run", "--region", "cn-hangzhou", "--poll-interval", "1s"])
            .args(["--endpoint", &format!("http://cs.{domain}:{port}")])
            .args([
                "--allow-insecure-endpoint",
                "--admin-address",
                "127.0.0.1:0",
            ]);
        let log = directory.join(format!("{name}.log"));
        Ok(Process::spawn("scaleouttask-controller", &command, &log)?)
    }

    fn api_server_port(&self) -> u16 {
        let server = self.plane.server();
        let port = server.rsplit(':').next().map(str::parse);
        port.and_then(Result::ok).unwrap_or_default()
    }

    fn is_finished(&self, name: &str, began: Instant, limit: Duration) -> Result<(), String> {
        let object = format!("scaleouttask/{name}");
        let timeout = format!("--timeout={}s", LIMIT.as_secs());
        let wait = ["wait", "--for=condition=Finished", &object, &timeout];
        kubectl(&self.plane, &wait).map_err(|_| "it wasn't finished at all".to_owned())?;
        let took = began.elapsed();
        if took <= limit {
            return Ok(());
        }
        let (took, limit) = (took.as_secs_f32(), limit.as_secs());
        Err(format!("it took {took:.1} s, more than {limit} s"))
    }
}

fn says(controller: &Process, why: &str, began: Instant) -> Result<(), String> {
    while began.elapsed() < LIMIT {
        let log = fs::read_to_string(controller.log()).unwrap_or_default();
        if log.contains(why) {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err(format!("the log doesn't say \"{why}\""))
}

/// Serves at `::1` what is served at 127.0.0.1.
fn lead_to_ipv4(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("::1", port))?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || lead(&client, port));
        }
    });
    Ok(())
}

fn lead(client: &TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut to, mut from) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut to));
    io::copy(&mut &server, &mut &*client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> Result<String, Error> {
    output(plane.kubectl().args(arguments), "kubectl")
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    output(Command::new(program).args(arguments), program).map(drop)
}

fn output(command: &mut Command, program: &str) -> Result<String, Error> {
    let failed = |why: String| Error::Run(program.to_owned(), why);
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned(),
    ))
}
