//! The text format of Prometheus that came before `OpenMetrics`, made of it: all names as they are scraped.

use std::fmt::Write as _;

/// The same metrics. Counters and infos are described by the names of their samples. The end is a comment: who reads
/// that has it all.
pub(super) fn of_open_metrics(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(description) = described(line, "# HELP ") {
            help = Some(description);
        } else if let Some((name, kind)) = described(line, "# TYPE ") {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                line_of(&mut output, format_args!("# HELP {name}{suffix} {text}"));
            }
            line_of(&mut output, format_args!("# TYPE {name}{suffix} {kind}"));
        } else if !line.starts_with('#') || line == "# EOF" {
            line_of(&mut output, format_args!("{line}"));
        }
    }
    output
}

fn described<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(kind)?.split_once(' ')
}

fn line_of(output: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = writeln!(output, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_described_as_it_is_scraped() {
        let open_metrics = "# HELP a_calls Calls made.\n# TYPE a_calls counter\na_calls_total{of=\"x\"} 1\n\
            # HELP a_lag_seconds Lag.\n# TYPE a_lag_seconds histogram\n# UNIT a_lag_seconds seconds\n\
            a_lag_seconds_sum 0.5\n# HELP a_build Version.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_calls_total Calls made.\n# TYPE a_calls_total counter\na_calls_total{of=\"x\"} 1\n\
            # HELP a_lag_seconds Lag.\n# TYPE a_lag_seconds histogram\na_lag_seconds_sum 0.5\n\
            # HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(of_open_metrics(open_metrics), text);
    }
}
