//! Describes the machine of a benchmark.

use std::{fs, thread};

use super::{Cluster, Result};

/// Processors, memory, kernel and versions in one line.
pub async fn machine(cluster: &Cluster) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unnamed".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let memory = memory.trim_end_matches(" kB").parse::<f64>()? / f64::from(1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{cores} processors ({model}), {memory:.0} GiB, Linux {}; scaleouttask-controller {}, release build; Kubernetes {}",
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        cluster.version().await?,
    ))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| field.trim() == name)?;
    Some(value.trim().to_owned())
}
