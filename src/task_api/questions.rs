//! What can be asked of the task API. How it is asked is the same for all, and the client's part.

use reqwest::Url;
use tracing::debug;

use super::{
    body::{cluster_in, parse_task},
    endpoint::{EndpointError, Endpoints, Region},
    list_body::parse_page,
};
use crate::rules::{ListedTask, Reason, TASKS_PER_PAGE, Task};

/// A call: where it goes, and what its answer means.
pub(super) trait Question: Copy {
    /// The API's name of the call.
    const ACTION: &'static str;
    /// What a good answer tells.
    type Answer;

    fn region(&self) -> &Region;

    fn url(&self, endpoints: &Endpoints) -> Result<Url, EndpointError>;

    /// Reads a body with status 200.
    fn answer(&self, body: &[u8]) -> Result<Self::Answer, Reason>;

    /// What a body with status 200 means that is too large to be read.
    fn reason_of_too_large(&self) -> Reason {
        Reason::InvalidResponse
    }
}

/// Which task is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where.
    pub region: &'a Region,
    /// Which task.
    pub task_id: &'a str,
    /// The only cluster whose task counts: any other's is told exactly as one that doesn't exist. None for
    /// any.
    pub only_cluster: Option<&'a str>,
}

impl Question for Query<'_> {
    const ACTION: &'static str = "DescribeTaskInfo";
    type Answer = Task;

    fn region(&self) -> &Region {
        self.region
    }

    fn url(&self, endpoints: &Endpoints) -> Result<Url, EndpointError> {
        endpoints.task_url(self.region, self.task_id)
    }

    fn answer(&self, body: &[u8]) -> Result<Task, Reason> {
        match parse_task(body, self.task_id) {
            Ok(task) if self.counts(task.cluster_id.as_deref()) => Ok(task),
            Ok(_) => Err(Reason::TaskNotFound),
            Err(problem) => {
                debug!(error = %problem, "invalid response of the task API");
                Err(self.reason_of_invalid(body))
            }
        }
    }

    fn reason_of_too_large(&self) -> Reason {
        self.reason_of_invalid(&[])
    }
}

impl Query<'_> {
    /// Whether a task of that cluster may be told from one that doesn't exist.
    fn counts(&self, cluster: Option<&str>) -> bool {
        self.only_cluster.is_none_or(|only| cluster == Some(only))
    }

    /// What an answer means that describes no task: nothing may be told of one that isn't shown to be of the cluster.
    fn reason_of_invalid(&self, body: &[u8]) -> Reason {
        if self.only_cluster.is_none() || self.counts(cluster_in(body).as_deref()) {
            Reason::InvalidResponse
        } else {
            Reason::TaskNotFound
        }
    }
}

/// Which page of which cluster's tasks is asked for. By the API's action `DescribeClusterTasks`, pages count from 1,
/// and neither their order nor how many there are is promised.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// Where.
    pub region: &'a Region,
    /// Whose tasks.
    pub cluster_id: &'a str,
    /// Which page.
    pub page: u32,
}

impl Question for ListQuery<'_> {
    const ACTION: &'static str = "DescribeClusterTasks";
    type Answer = Vec<ListedTask>;

    fn region(&self) -> &Region {
        self.region
    }

    fn url(&self, endpoints: &Endpoints) -> Result<Url, EndpointError> {
        let mut url = endpoints.tasks_url(self.region, self.cluster_id)?;
        let query = format!("page_number={}&page_size={TASKS_PER_PAGE}", self.page);
        url.set_query(Some(&query));
        Ok(url)
    }

    fn answer(&self, body: &[u8]) -> Result<Vec<ListedTask>, Reason> {
        parse_page(body).map_err(|problem| {
            debug!(error = %problem, "invalid list of the task API");
            Reason::InvalidResponse
        })
    }
}
