//! The answer to a call for one page of a cluster's tasks.

use std::{ops::Range, time::Instant};

use crate::{
    acs3::Refusal,
    body::{self, Node},
    list::List,
    percent,
    state::State,
    timeline,
};

/// The size of a page where the call asks for none.
const USUAL_SIZE: u64 = 10;

/// Which page a call asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query {
    pub(crate) number: Option<u64>,
    pub(crate) size: Option<u64>,
    is_wrong: bool,
}

impl Query {
    pub(crate) fn of(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in percent::form(query) {
            let field = match name.as_str() {
                "page_number" => &mut asked.number,
                "page_size" => &mut asked.size,
                _ => continue,
            };
            *field = value.parse().ok();
            asked.is_wrong |= field.is_none_or(|value| value == 0);
        }
        asked
    }

    /// The number and the size of the page that the list answers with.
    fn answered(self, list: &List) -> Result<(u64, u64), Refusal> {
        if self.is_wrong {
            let message = "page_number and page_size are numbers from 1.";
            return Err(Refusal::new(400, "InvalidParameter", message));
        }
        let number = self.number.filter(|_| !list.ignore_page_number);
        let size = self.size.unwrap_or(USUAL_SIZE);
        let largest = list.max_page_size.unwrap_or(u64::MAX);
        Ok((number.unwrap_or(1), size.min(largest)))
    }
}

/// A page, and how many tasks are on it.
pub(crate) struct Page {
    pub(crate) body: String,
    pub(crate) tasks: usize,
}

impl State {
    /// A page of a cluster's list, as it is now.
    pub(crate) fn page(
        &mut self,
        (region, cluster_id): (&str, &str),
        query: Query,
        request_id: &str,
        now: Instant,
    ) -> Result<Page, Refusal> {
        let list = self.lists.of(cluster_id);
        let (number, size) = query.answered(list)?;
        let shown = self.tasks.list(region, cluster_id, list.order, now);
        let shown = match shown {
            Some(shown) => shown,
            None if self.lists.name(cluster_id) => Vec::new(),
            None => {
                let message = "There is no such cluster.";
                return Err(Refusal::new(404, "ErrorClusterNotFound", message));
            }
        };
        let on_page = range(number, size, shown.len());
        let others = shown[..on_page.start].iter().chain(&shown[on_page.end..]);
        let repeated = others.filter(|place| self.tasks.is_repeated(**place, number));
        let places: Vec<_> = shown[on_page.clone()].iter().chain(repeated).collect();
        let tasks = places.len();
        let listed = |place: &usize| {
            let tracked = self.tasks.at_mut(*place)?;
            let clock = tracked.look(now);
            Some(timeline::listed(&tracked.task, clock))
        };
        let nodes = places.into_iter().filter_map(listed).collect();
        let total = list.total_count.unwrap_or(shown.len() as u64);
        let body = write(list, [number, size, total], nodes, request_id);
        Ok(Page { body, tasks })
    }
}

/// The positions of the tasks on a page.
fn range(number: u64, size: u64, total: usize) -> Range<usize> {
    let start = (number - 1).saturating_mul(size);
    let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(total);
    position(start)..position(start.saturating_add(size))
}

fn write(list: &List, info: [u64; 3], tasks: Vec<Node>, request_id: &str) -> String {
    let [number, size, total] = info.map(|number| Node::Literal(number.to_string()));
    let info = [
        ("page_number", number),
        ("page_size", size),
        ("total_count", total),
    ];
    let is_left_out = |name: &str| list.omit.iter().any(|omitted| omitted == name);
    let info = info.into_iter().filter(|(name, _)| !is_left_out(name));
    let info = info.map(|(name, node)| (name.to_owned(), node)).collect();
    let fields = [
        ("page_info", Node::Object(info)),
        ("tasks", Node::List(tasks)),
        ("requestId", request_id.into()),
    ];
    let fields = fields.into_iter().filter(|(name, _)| !is_left_out(name));
    body::json(&fields.map(|(name, node)| (name.to_owned(), node)).collect())
}
