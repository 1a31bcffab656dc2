//! Lists of a cluster's tasks: how a list behaves, and how a task is shown in it.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    time::Duration,
};

use serde::Deserialize;

use crate::{
    fault::{Fault, Requests},
    script::{self, ScriptError},
    values,
};

/// How the list of a cluster's tasks behaves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct List {
    /// The cluster, which then exists even without tasks. By default, this holds for all clusters that
    /// have no list of their own.
    pub cluster_id: Option<String>,
    /// The order of the tasks.
    pub order: Order,
    /// The largest page. Larger ones that are asked for are as large as this.
    pub max_page_size: Option<u64>,
    /// Whether each page is the first one, whichever is asked for.
    pub ignore_page_number: bool,
    /// `total_count`, instead of the right one.
    pub total_count: Option<u64>,
    /// Names of fields to leave out of the body and of `page_info`: `[total_count]`.
    pub omit: Vec<String>,
    /// Faults of this list, counted over its calls. The first that applies is used. Those of a single
    /// cluster have priority.
    pub faults: Vec<Fault>,
}

/// The order of the tasks in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By the time of their creation, the newest first.
    #[default]
    NewestFirst,
    /// By the time of their creation, the oldest first.
    OldestFirst,
    /// Without meaning, but always the same.
    None,
}

impl List {
    /// The list of this cluster.
    #[must_use]
    pub fn of(cluster_id: &str) -> Self {
        Self {
            cluster_id: Some(cluster_id.to_owned()),
            ..Self::default()
        }
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }
}

impl FromStr for List {
    type Err = ScriptError;

    /// Parses a list as in a script, such as `{clusterId: c1, order: oldest-first}`.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        script::parse(text)
    }
}

/// How a list shows a task. By default as the task is, in the list of its `cluster_id`, on one page. All
/// times and pages count from when the task was set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Listed {
    /// Is listed only from this time on.
    #[serde(deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// Is listed only until this time. `0` hides it.
    #[serde(deserialize_with = "values::optional_duration")]
    pub until: Option<Duration>,
    /// Is listed only once this many pages of the list were sent.
    pub after_pages: Option<u64>,
    /// Is listed only until this many pages of the list were sent.
    pub until_pages: Option<u64>,
    /// Is repeated at the end of these pages, even of those that are behind the last.
    pub repeat_on: Option<Requests>,
    /// The cluster whose list shows it, instead of its own.
    pub cluster_id: Option<String>,
    /// Another `created`. The order follows the true one.
    pub created: Option<String>,
    /// Another `updated`.
    pub updated: Option<String>,
    /// Names of fields to leave out: `[updated]`.
    pub omit: Vec<String>,
    /// Fields to add or replace: `{state: running}`.
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// The lists that are set.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    usual: List,
    by_cluster: HashMap<String, List>,
}

impl Lists {
    pub(crate) fn set(&mut self, list: List) {
        match &list.cluster_id {
            Some(cluster_id) => {
                self.by_cluster.insert(cluster_id.clone(), list);
            }
            None => self.usual = list,
        }
    }

    pub(crate) fn of(&self, cluster_id: &str) -> &List {
        self.by_cluster.get(cluster_id).unwrap_or(&self.usual)
    }

    /// Whether the cluster has a list of its own.
    pub(crate) fn name(&self, cluster_id: &str) -> bool {
        self.by_cluster.contains_key(cluster_id)
    }
}
