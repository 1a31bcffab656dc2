//! Namespaces, task APIs and releases of a set-up.

use super::user::User;
use crate::cluster::{
    CHART, Cluster, Error, Images, OF_RELEASE, RELEASE, SYSTEM, done, repository, text,
};

/// The namespaces of the tenants, as the documented values name them.
pub const TEAMS: [&str; 2] = ["team-a", "team-b"];
/// The namespace of the second release.
pub const SECOND: &str = "scaleout-test-second";

pub struct Stage<'a> {
    pub cluster: &'a Cluster,
    pub images: &'a Images,
}

impl Stage<'_> {
    /// Makes a namespace for each team, with a user who may edit it and nothing else.
    pub fn users(&self) -> Result<[User<'_>; 2], Error> {
        Ok([self.user("alice", TEAMS[0])?, self.user("bob", TEAMS[1])?])
    }

    fn user(&self, name: &'static str, namespace: &'static str) -> Result<User<'_>, Error> {
        self.cluster.create_namespace(namespace)?;
        self.bound(name, namespace, "edit")
    }

    /// A user who may only view that namespace.
    pub fn viewer(&self, namespace: &'static str) -> Result<User<'_>, Error> {
        self.bound("carol", namespace, "view")
    }

    fn bound(
        &self,
        name: &'static str,
        namespace: &'static str,
        role: &str,
    ) -> Result<User<'_>, Error> {
        let (role_of, user) = (format!("--clusterrole={role}"), format!("--user={name}"));
        let bind = ["create", "rolebinding", role, &role_of, &user];
        self.cluster.kubectl(namespace, &bind)?;
        Ok(User {
            cluster: self.cluster,
            name,
            namespace,
        })
    }

    /// Makes a namespace with a simulated task API. Returns its URL.
    pub fn account(&self, namespace: &str, script: &str) -> Result<String, Error> {
        self.cluster.create_namespace(namespace)?;
        let script = repository().join("dev/xtask/tenants").join(script);
        self.cluster
            .start_simulator(namespace, &script, self.images)
    }

    /// Installs the chart with a file of `docs/tenants`, and what only a test needs.
    pub fn install(
        &self,
        namespace: &str,
        values: &str,
        endpoint: &str,
        account: &str,
    ) -> Result<(), Error> {
        self.cluster.create_namespace(namespace)?;
        self.key(namespace, "task-api", account)?;
        let chart = text(&repository().join(CHART));
        let file = text(&repository().join("docs/tenants").join(values));
        let prefix = self.images.prefix();
        let image = format!("image.repository={prefix}scaleouttask-controller");
        let endpoint = format!("endpoint={endpoint},allowInsecureEndpoint=true");
        let mut install = vec!["install", RELEASE, &chart, "--namespace", namespace];
        install.extend(["--values", &file, "--set", &image, "--set", &endpoint]);
        if namespace == SYSTEM && !self.cluster.may_install_crd()? {
            install.extend(["--set", "crds.install=false"]);
        }
        install.extend(["--wait", "--timeout", "90s"]);
        self.cluster.helm(&install)?;
        done(&format!(
            "installed in {namespace} with docs/tenants/{values}"
        ));
        Ok(())
    }

    /// A Secret with the access key of an account of the simulated task APIs.
    pub fn key(&self, namespace: &str, name: &str, account: &str) -> Result<(), Error> {
        let id = format!("--from-literal=accessKeyId=LTAI-{account}");
        let secret = format!("--from-literal=accessKeySecret={account}-secret");
        let create = ["create", "secret", "generic", name, &id, &secret];
        self.cluster.kubectl(namespace, &create).map(drop)
    }

    /// Removes the releases, and all namespaces of the test.
    pub fn uninstall(&self) -> Result<(), Error> {
        for namespace in [SYSTEM, SECOND] {
            let release = ["uninstall", RELEASE, "--namespace", namespace];
            self.cluster
                .helm(&[&release[..], &["--ignore-not-found", "--wait"]].concat())?;
        }
        self.cluster.clean()
    }

    /// How many calls the release has made in that region.
    pub fn calls(&self, region: &str) -> Result<f64, Error> {
        let pods = ["get", "pods", "--output=name", "--selector", OF_RELEASE];
        let pods = self.cluster.kubectl(SYSTEM, &pods)?;
        let region = format!("region=\"{region}\"");
        let mut calls = 0.0;
        // The one that leads, and one that doesn't.
        for pod in pods.split_whitespace() {
            let pod = pod.trim_start_matches("pod/");
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics");
            let metrics = self.cluster.kubectl(SYSTEM, &["get", "--raw", &path])?;
            let of_region = metrics.lines().filter(|line| {
                line.starts_with("scaleouttask_task_api_requests_total") && line.contains(&region)
            });
            let counts = of_region.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            calls += counts.sum::<f64>();
        }
        Ok(calls)
    }
}
