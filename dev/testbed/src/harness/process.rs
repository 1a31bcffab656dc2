//! The use of processor and memory by a process, from /proc.

use std::fs;

use super::Result;

/// The unit of `/proc/PID/stat`: `USER_HZ`, which is 100 on all common platforms.
const TICKS_PER_SECOND: f64 = 100.0;

/// The use of processor and memory by a process.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time since its start, user and kernel, in seconds.
    pub cpu: f64,
    /// Current resident memory, in MiB.
    pub resident: f64,
    /// Largest resident memory so far, in MiB.
    pub peak: f64,
}

/// The usage of that process.
pub fn usage(pid: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mebibytes = |field: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: f64 = kibibytes.ok_or(format!("no {field}"))?.parse()?;
        Ok(kibibytes / 1024.0)
    };
    Ok(Usage {
        cpu: cpu(&stat).ok_or("/proc/PID/stat can't be read")?,
        resident: mebibytes("VmRSS:")?,
        peak: mebibytes("VmHWM:")?,
    })
}

/// The usage of this process.
pub fn own_usage() -> Result<Usage> {
    usage(std::process::id())
}

/// The sum of the 14th and 15th field. The second field, a name in brackets, may contain blanks.
fn cpu(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// The process of that program with that argument, not the shell that started it.
pub fn find(program: &str, argument: &str) -> Result<u32> {
    let is_it = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        words.next() == Some(program) && words.any(|word| word == argument)
    };
    let mut pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(is_it)
        .ok_or_else(|| format!("no process of {program}").into())
}
