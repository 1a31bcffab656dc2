//! Each table that says what there is, against the code that has it.

use clap::{ArgAction, CommandFactory};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray,
};
use scaleouttask_controller::{api, cli::Cli, metrics::Metrics};

use crate::{
    Reason, Severity,
    document::{REFERENCE, Row, assert_nothing_to_do, code, differences, only_code, table},
};

/// The names in a column, each the first piece of code in its cell, or the whole cell.
fn names(rows: &[Row], column: &str) -> Vec<String> {
    let name = |row: &Row| {
        let cell = &row[column];
        code(cell)
            .first()
            .map_or(cell.clone(), |name| (*name).to_owned())
    };
    rows.iter().map(name).collect()
}

/// Says what to write into a cell that says something else.
fn expect(todo: &mut Vec<String>, row: &Row, name: &str, column: &str, expected: &str) {
    let documented = &row[column];
    if documented != expected {
        todo.push(format!(
            "`{name}`: write \"{expected}\" instead of \"{documented}\" under \"{column}\""
        ));
    }
}

#[test]
fn the_table_of_reasons_is_that_of_the_code() {
    let rows = table("reasons");
    let in_code = Reason::ALL.map(|reason| reason.as_str().to_owned());
    let documented = names(&rows, "reason");
    let mut todo = differences("reasons", &documented, &in_code);
    for (row, name) in rows.iter().zip(&documented) {
        let Some(reason) = Reason::parse(name) else {
            continue;
        };
        let event = match reason.severity() {
            None => "none",
            Some(Severity::Normal) => "Normal",
            Some(Severity::Warning) => "Warning",
        };
        expect(&mut todo, row, name, "Event", event);
        let is_final = if reason.is_final() { "yes" } else { "no" };
        expect(&mut todo, row, name, "final", is_final);
    }
    assert_nothing_to_do(&todo);
}

fn compare_flags(subcommand: &str) {
    let mut program = Cli::command();
    program.build();
    let command = program.find_subcommand(subcommand).expect("a subcommand");
    let own = |arg: &&clap::Arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
    let args: Vec<_> = command.get_arguments().filter(own).collect();
    let flag = |arg: &clap::Arg| format!("--{}", arg.get_long().expect("a long name"));

    let name = format!("flags of {subcommand}");
    let rows = table(&name);
    let in_code: Vec<String> = args.iter().map(|arg| flag(arg)).collect();
    let documented = names(&rows, "flag");
    let mut todo = differences(&name, &documented, &in_code);
    for arg in args {
        let flag = flag(arg);
        let Some(row) = rows
            .iter()
            .zip(&documented)
            .find(|(_, name)| **name == flag)
        else {
            continue;
        };
        let row = row.0;
        let variable = arg
            .get_env()
            .map(|name| format!("`{}`", name.to_string_lossy()));
        let variable = variable.unwrap_or_else(|| "none".to_owned());
        expect(&mut todo, row, &flag, "environment variable", &variable);

        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let values = arg.get_default_values().iter();
        let default = values
            .map(|value| value.to_string_lossy())
            .collect::<Vec<_>>()
            .join(",");
        if is_switch {
            expect(&mut todo, row, &flag, "default", "off");
        } else if !default.is_empty() {
            expect(&mut todo, row, &flag, "default", &format!("`{default}`"));
        } else if row["default"].is_empty() || only_code(&row["default"]).is_some() {
            todo.push(format!(
                "`{flag}`: it has no default of its own; say in words under \"default\" what holds"
            ));
        }
    }
    assert_nothing_to_do(&todo);
}

#[test]
fn the_table_of_flags_of_run_is_that_of_the_code() {
    compare_flags("run");
}

#[test]
fn the_table_of_flags_of_check_is_that_of_the_code() {
    compare_flags("check");
}

/// The names of all metrics as they are registered, those without any value too: the text format
/// leaves these out.
fn registered() -> Vec<String> {
    let registry = format!("{:?}", Metrics::default());
    let each = registry.split("Descriptor { name: \"").skip(1);
    each.map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
        .collect()
}

/// The labels of the first line that begins so, in the text format.
fn labels(text: &str, metric: &str) -> Option<Vec<String>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix('{'))?;
    let (inner, _) = line.split_once('}')?;
    let names = inner.split(',').filter_map(|label| label.split_once('='));
    Some(names.map(|(name, _)| format!("`{name}`")).collect())
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let rows = table("metrics");
    let suffix = |row: &Row| match row["type"].as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let full_names = names(&rows, "metric");
    let short = |(row, name): (&Row, &String)| {
        let name = name.strip_prefix("scaleouttask_").unwrap_or(name);
        name.strip_suffix(suffix(row)).unwrap_or(name).to_owned()
    };
    let documented: Vec<String> = rows.iter().zip(&full_names).map(short).collect();
    let registered = registered();
    assert!(registered.len() > 10, "{registered:?}");
    let mut todo = differences("metrics", &documented, &registered);

    let text = Metrics::default().encode().unwrap();
    for ((row, full_name), name) in rows.iter().zip(&full_names).zip(&documented) {
        if *full_name != format!("scaleouttask_{name}{}", suffix(row)) {
            todo.push(format!(
                "`{full_name}`: a {} is named scaleouttask_{name}{}",
                row["type"],
                suffix(row)
            ));
        }
        let type_line = format!("# TYPE scaleouttask_{name} ");
        // Without any value, it isn't there.
        let type_ = text.lines().find_map(|line| line.strip_prefix(&type_line));
        if let Some(type_) = type_ {
            expect(&mut todo, row, full_name, "type", type_);
            let visible = labels(&text, full_name).map(|labels| labels.join(", "));
            let labels = visible.unwrap_or_else(|| "none".to_owned());
            expect(&mut todo, row, full_name, "labels", &labels);
        }
    }
    assert_nothing_to_do(&todo);
}

fn version(crd: CustomResourceDefinition) -> CustomResourceDefinitionVersion {
    crd.spec.versions.into_iter().next().expect("a version")
}

/// The fields below a schema that have no fields of their own, with their types.
fn fields(prefix: &str, schema: &JSONSchemaProps, found: &mut Vec<(String, String)>) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{prefix}{name}");
        let items = match &property.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
            _ => None,
        };
        if property.properties.is_some() {
            fields(&format!("{path}."), property, found);
        } else if let Some(items) = items.filter(|items| {
            // Those of texts are lists, as conditions are: they have a part of the page of their own.
            name != "conditions" && items.properties.is_some()
        }) {
            fields(&format!("{path}[]."), items, found);
        } else {
            let type_ = match (property.type_.as_deref(), property.format.as_deref()) {
                (Some("string"), Some("date-time")) => "time",
                (Some("array"), _) => "list",
                (Some("object"), _) => "map",
                (type_, _) => type_.unwrap_or("any"),
            };
            let mark = if required.contains(name) {
                ", required"
            } else {
                ""
            };
            found.push((path, format!("{type_}{mark}")));
        }
    }
}

fn compare_fields(crd: CustomResourceDefinition, part: &str, name: &str) {
    let schema = version(crd).schema.unwrap().open_api_v3_schema.unwrap();
    let mut in_code = Vec::new();
    fields("", &schema.properties.unwrap()[part], &mut in_code);
    assert!(in_code.len() > 5, "{in_code:?}");

    let rows = table(name);
    let documented = names(&rows, "field");
    let names: Vec<String> = in_code.iter().map(|(name, _)| name.clone()).collect();
    let mut todo = differences(name, &documented, &names);
    for (name, type_) in &in_code {
        let row = rows.iter().zip(&documented).find(|(_, own)| *own == name);
        if let Some((row, _)) = row {
            expect(&mut todo, row, name, "type", type_);
        }
    }
    assert_nothing_to_do(&todo);
}

#[test]
fn the_table_of_the_spec_is_that_of_the_crd() {
    compare_fields(api::crd(), "spec", "spec");
    compare_fields(api::source_crd(), "spec", "source spec");
}

#[test]
fn the_table_of_the_status_is_that_of_the_crd() {
    compare_fields(api::crd(), "status", "status");
    compare_fields(api::source_crd(), "status", "source status");
}

#[test]
fn the_table_of_columns_is_that_of_the_crd() {
    compare_columns(api::crd(), "columns");
    compare_columns(api::source_crd(), "source columns");
}

fn compare_columns(crd: CustomResourceDefinition, name: &str) {
    let columns = version(crd).additional_printer_columns.unwrap();
    let shown = |name: &str, from: &str, wide: &str| format!("{name} from {from}{wide}");
    let in_code: Vec<String> = columns
        .iter()
        .map(|column| {
            let is_wide = column.priority.is_some_and(|priority| priority > 0);
            let wide = if is_wide { ", only wide" } else { "" };
            shown(&column.name, &column.json_path, wide)
        })
        .collect();
    let documented: Vec<String> = table(name)
        .iter()
        .map(|row| {
            let from = only_code(&row["from"]).expect("a path as code");
            let wide = match row["only wide"].as_str() {
                "" => "",
                "yes" => ", only wide",
                other => panic!("{REFERENCE}: \"only wide\" is \"yes\" or empty, not {other}"),
            };
            shown(&row["column"], from, wide)
        })
        .collect();
    assert_nothing_to_do(&differences(name, &documented, &in_code));
    assert_eq!(documented, in_code, "{REFERENCE}: the order of columns");
}
