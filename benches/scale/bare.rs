//! The ceilings: the same work by as little program as there can be.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use testbed::harness::{Result, own_usage};
use tokio::time::{Instant as Moment, sleep_until};

use crate::fleet::task_id;

/// How many GETs are under way at most: as many as the controller's.
const CONNECTIONS: u32 = 32;
/// What a process of that kind is asked by.
pub const ARGUMENT: &str = "--bare-gets";

/// What a loop of GETs used.
#[derive(Clone, Copy)]
pub struct Gets {
    /// Microseconds of processor time for each.
    pub cpu: f64,
}

/// GETs of the tasks, so many a second for so long, in a process of its own.
pub fn gets(url: &str, tasks: usize, rate: u32, length: Duration) -> Result<Gets> {
    let plan = [
        tasks.to_string(),
        rate.to_string(),
        length.as_secs().to_string(),
    ];
    let output = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, url])
        .args(plan)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the bare loop of GETs failed: {said}").into());
    }
    let cpu = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Gets { cpu })
}

/// That process. Prints the processor time of one GET.
pub fn main(arguments: &[String]) -> Result<()> {
    let [url, tasks, rate, seconds] = arguments else {
        return Err("a URL, a number of tasks, a rate and a length are needed".into());
    };
    let (tasks, rate): (usize, u32) = (tasks.parse()?, rate.parse()?);
    let length = Duration::from_secs(seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let http = reqwest::Client::builder().no_proxy().build()?;
    // Connections are open and code is warm when it counts.
    let warm = Duration::from_secs(2);
    runtime.block_on(round(&http, url, tasks, rate, warm))?;
    let before = own_usage()?.cpu;
    let done = runtime.block_on(round(&http, url, tasks, rate, length))?;
    let used = own_usage()?.cpu - before;
    println!("{}", used / f64::from(done) * 1e6);
    Ok(())
}

async fn round(
    http: &reqwest::Client,
    url: &str,
    tasks: usize,
    rate: u32,
    length: Duration,
) -> Result<u32> {
    let url: Arc<str> = url.into();
    let begin = Instant::now();
    let step = Duration::from_secs(1) / rate;
    let worker = |first: u32| {
        let (http, url) = (http.clone(), url.clone());
        async move {
            let mut done = 0;
            for number in (first..).step_by(CONNECTIONS as usize) {
                let at = begin + step * number;
                if at >= begin + length {
                    break;
                }
                sleep_until(Moment::from_std(at)).await;
                let task = task_id(number as usize % tasks);
                let answer = http.get(format!("{url}/tasks/{task}")).send().await?;
                answer.error_for_status()?.bytes().await?;
                done += 1;
            }
            Ok::<u32, reqwest::Error>(done)
        }
    };
    let all = join_all((0..CONNECTIONS).map(worker)).await;
    let done: reqwest::Result<Vec<u32>> = all.into_iter().collect();
    Ok(done?.iter().sum())
}
