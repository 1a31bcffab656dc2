//! Parses metrics.

/// The sum of a metric over the series whose labels contain all of `labels`.
pub fn sum(page: &str, name: &str, labels: &[&str]) -> f64 {
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (series, own) = series.split_once('{').unwrap_or((series, ""));
        let counts = series == name && labels.iter().all(|label| own.contains(label));
        counts.then(|| value.parse::<f64>().ok())?
    };
    page.lines().filter_map(value).sum()
}
