//! One state of the whole world, and what can happen in it.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    rules::{Instance, Node, NodeInstance, PollError, PollResult, Reason, Task},
    scheduler::{
        Input, LEASE_DURATION, LeaseRecord, NodeInput, Now, SourceInput, SourceWrite, WriteResult,
    },
};

use crate::{
    cluster::{Cluster, index_of, key_of},
    process::{NOW, POLL_INTERVAL, Process},
    promise::Promise,
    request::{Fate, Knows, Reply, Request, Stage, What},
    setting::{Accident, Edit, NodeTruth, Setting, Truth},
    shared::Shared,
    source::{Collector, page, source_key},
    variant::Variant,
};

#[derive(Clone, Debug, PartialEq, Hash)]
pub struct World {
    pub replicas: Vec<Shared<Replica>>,
    pub cluster: Shared<Cluster>,
    /// How far each task has come in its plan.
    pub tasks: Vec<usize>,
    /// The same of each Node.
    pub nodes: Vec<usize>,
    /// Whether all Nodes were Ready at one time.
    pub were_ready: bool,
    /// Since the beginning.
    pub calendar: Duration,
    pub faults_left: usize,
    pub edits_left: usize,
    pub broken: Option<Promise>,
}

#[derive(Clone, Debug)]
pub struct Replica {
    /// None while it is down.
    pub process: Option<Process>,
    starts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Time passes until something happens by itself.
    Pass,
    /// A task goes on to what its plan has next.
    GoOn(usize),
    /// A Node does.
    NodeGoesOn(usize),
    /// This replica's watch of Nodes tells the next of its news.
    HearOfNode(usize),
    /// This replica's watch of sources tells the next of its news.
    HearOfSource(usize),
    /// This replica's watch tells the next of its news.
    Hear(usize),
    /// This replica's request passes the fence, if it may.
    Send(usize, usize),
    /// This replica's request meets its fate.
    End(usize, usize, Fate),
    /// A request arrives that its sender has given up.
    Arrive(usize),
    /// SIGCONT. What was decided on before is sent first, or not.
    Thaw(usize, bool),
    Start(usize),
    Befall(usize, Accident),
    Edit(usize, Edit),
    /// The garbage collector does something.
    Collect,
}

impl World {
    pub fn new(setting: &Setting) -> Self {
        let mut world = Self {
            replicas: (0..=usize::from(setting.elects))
                .map(|_| {
                    Shared::new(Replica {
                        process: None,
                        starts: 0,
                    })
                })
                .collect(),
            cluster: Shared::new(Cluster::new(setting, wall(Duration::ZERO))),
            tasks: vec![0; setting.objects.len()],
            nodes: vec![0; setting.nodes.len()],
            were_ready: false,
            calendar: Duration::ZERO,
            faults_left: setting.faults,
            edits_left: setting.edits,
            broken: None,
        };
        for index in 0..world.replicas.len() {
            world.start(setting, index);
        }
        world
    }

    pub fn now(&self) -> Now {
        Now {
            wall: wall(self.calendar),
            monotonic: NOW,
            local: None,
            is_confirmed: true,
        }
    }

    /// What the calendar never reaches.
    pub fn calendar_end(setting: &Setting) -> Timestamp {
        wall(setting.calendar + POLL_INTERVAL)
    }

    pub fn truth(&self, setting: &Setting, index: usize) -> Truth {
        setting.objects[index].truths[self.tasks[index]]
    }

    pub fn nodes_are_ready(&self, setting: &Setting) -> bool {
        self.ready_nodes(setting) == self.nodes.len()
    }

    pub fn ready_nodes(&self, setting: &Setting) -> usize {
        let truths = self.nodes.iter().zip(setting.nodes);
        truths
            .filter(|(at, truths)| truths[**at] == NodeTruth::Ready)
            .count()
    }

    pub fn processes(&self) -> impl Iterator<Item = (usize, &Process)> {
        let numbered = self.replicas.iter().enumerate();
        numbered.filter_map(|(index, replica)| Some((index, replica.process.as_ref()?)))
    }

    pub fn actions(&self, setting: &Setting) -> Vec<Action> {
        let mut actions = Vec::new();
        // A request takes effect sooner than an object may be deleted for its age, or not at all.
        if self.can_pass() && self.cluster.orphans.is_empty() {
            actions.push(Action::Pass);
        }
        for (index, replica) in self.replicas.iter().enumerate() {
            match &replica.process {
                None => actions.push(Action::Start(index)),
                Some(process) => self.actions_of(index, process, setting, &mut actions),
            }
        }
        for (node, at) in self.nodes.iter().enumerate() {
            if at + 1 < setting.nodes[node].len() {
                actions.push(Action::NodeGoesOn(node));
            }
        }
        if self.cluster.is_collecting() {
            actions.push(Action::Collect);
        }
        let orphans = 0..self.cluster.orphans.len();
        actions.extend(orphans.map(Action::Arrive));
        for (index, at) in self.tasks.iter().enumerate() {
            if at + 1 < setting.objects[index].truths.len() {
                actions.push(Action::GoOn(index));
            }
            if self.edits_left > 0 {
                let edits = setting.edit_kinds.iter();
                let edits = edits.filter(|edit| self.can_edit(index, **edit));
                actions.extend(edits.map(|edit| Action::Edit(index, *edit)));
            }
        }
        actions
    }

    fn actions_of(
        &self,
        index: usize,
        process: &Process,
        setting: &Setting,
        actions: &mut Vec<Action>,
    ) {
        if process.frozen {
            let decided = process.requests.iter();
            let mut decided = decided.filter(|request| request.is_decided());
            actions.push(Action::Thaw(index, false));
            actions.extend(decided.next().map(|_| Action::Thaw(index, true)));
        } else if !process.news.is_empty() {
            actions.push(Action::Hear(index));
        }
        if !process.frozen && !process.node_news.is_empty() {
            actions.push(Action::HearOfNode(index));
        }
        if !process.frozen && !process.source_news.is_empty() {
            actions.push(Action::HearOfSource(index));
        }
        for (number, request) in process.requests.iter().enumerate() {
            match request.stage {
                Stage::Decided if !process.frozen => actions.push(Action::Send(index, number)),
                Stage::Decided => {}
                Stage::Answered(_) if process.frozen => {}
                Stage::Answered(_) | Stage::Late => {
                    actions.push(Action::End(index, number, Fate::Done));
                }
                Stage::Sent => {
                    let faults = setting.fates.iter().filter(|_| self.faults_left > 0);
                    let fates = faults.filter(|fate| request.what.suffers(**fate));
                    let fates = fates.filter(|_| !process.frozen).copied();
                    let ends = fates.chain([Fate::Done]);
                    actions.extend(ends.map(|fate| Action::End(index, number, fate)));
                }
            }
        }
        if self.faults_left > 0 {
            let accidents = setting.accidents.iter();
            let accidents = accidents.filter(|accident| self.can_befall(process, **accident));
            actions.extend(accidents.map(|accident| Action::Befall(index, *accident)));
        }
    }

    fn can_edit(&self, index: usize, edit: Edit) -> bool {
        match edit {
            Edit::Delete => self.cluster.objects[index].is_some(),
            edit if edit.is_about_source() => {
                index == 0 && self.cluster.origin.standing().is_some()
            }
            _ => true,
        }
    }

    fn can_befall(&self, process: &Process, accident: Accident) -> bool {
        match accident {
            Accident::Stop | Accident::Freeze => !process.frozen,
            Accident::Stall => !process.news.is_empty() && !process.stalled.objects,
            Accident::StallSources => !process.source_news.is_empty() && !process.stalled.sources,
            Accident::Steal | Accident::Unlease => self.cluster.lease.is_some(),
            Accident::Crash
            | Accident::Relist
            | Accident::RelistNodes
            | Accident::RelistSources => true,
        }
    }

    pub fn after(&self, setting: &Setting, action: Action) -> Self {
        let mut world = self.clone();
        world.act(setting, action);
        world.collect();
        world
    }

    fn act(&mut self, setting: &Setting, action: Action) {
        let now = self.now();
        match action {
            Action::Pass => self.pass(setting),
            Action::GoOn(index) => self.tasks[index] += 1,
            Action::NodeGoesOn(node) => self.node_goes_on(setting, node),
            Action::HearOfNode(index) => self.hear_of_node(setting, index),
            Action::HearOfSource(index) => self.hear_of_source(index),
            Action::Hear(index) => self.hear(index),
            Action::Send(index, number) => self.process(index).send(number, now),
            Action::End(index, number, fate) => {
                self.faults_left -= usize::from(fate != Fate::Done);
                self.end(setting, index, number, fate);
            }
            Action::Arrive(number) => {
                let request = self.cluster.get_mut().orphans.remove(number);
                self.effect(setting, &request);
            }
            Action::Thaw(index, sends) => self.thaw(index, sends),
            Action::Start(index) => self.start(setting, index),
            Action::Befall(index, accident) => {
                self.faults_left -= 1;
                self.befall(index, accident);
            }
            Action::Collect => match self.cluster.get_mut().collect() {
                Some(object) => self.tell_of(object),
                None => self.tell_of_source(),
            },
            Action::Edit(_, edit) if edit.is_about_source() => self.edit_source(edit),
            Action::Edit(index, edit) => {
                let request = format!("request {}", self.edits_left);
                self.edits_left -= 1;
                let plan = &setting.objects[index];
                let cluster = self.cluster.get_mut();
                cluster.edit(index, edit, plan, request, now.wall);
                if edit == Edit::Delete {
                    self.cross_creations(index);
                }
                self.tell_of(index);
            }
        }
    }

    /// What is to be created by requests under way was decided on before a deletion by hand.
    fn cross_creations(&mut self, index: usize) {
        let cross = |request: &mut Request| {
            if let What::Create(creation, knows) = &mut request.what
                && index_of(&creation.key) == index
            {
                *knows = Knows::TooLate;
            }
        };
        self.cluster.get_mut().orphans.iter_mut().for_each(cross);
        for replica in &mut self.replicas {
            let process = replica.get_mut().process.iter_mut();
            process
                .flat_map(|process| &mut process.requests)
                .for_each(cross);
        }
    }

    fn edit_source(&mut self, edit: Edit) {
        self.edits_left -= 1;
        let cluster = self.cluster.get_mut();
        let version = cluster.next_version();
        match edit {
            Edit::DeleteSource => cluster.origin.delete(Collector::Deletes, version),
            Edit::OrphanSource => cluster.origin.delete(Collector::Orphans, version),
            _ => cluster.origin.toggle_suspend(version),
        }
        self.tell_of_source();
    }

    /// What the parts leave for all to see.
    fn collect(&mut self) {
        let mut leaders = 0;
        for index in 0..self.replicas.len() {
            let Some(process) = &self.replicas[index].process else {
                continue;
            };
            leaders += usize::from(process.leads());
            self.broken = self.broken.or(process.broken);
            if !process.orphans.is_empty() {
                let orphans = std::mem::take(&mut self.process(index).orphans);
                self.cluster.get_mut().orphans.extend(orphans);
            }
        }
        if leaders > 1 && !self.cluster.was_unleased {
            self.broken = self.broken.or(Some(Promise::OneLeader));
        }
    }

    /// Of a replica that is up.
    pub fn process(&mut self, index: usize) -> &mut Process {
        self.replicas[index].get_mut().process.as_mut().unwrap()
    }

    /// Whether something happens by itself, later.
    pub fn can_pass(&self) -> bool {
        self.next_moment().is_some()
    }

    fn next_moment(&self) -> Option<Duration> {
        let all_wait = self.processes().all(|(_, process)| process.waits());
        let moments = self
            .processes()
            .filter_map(|(_, process)| process.next_moment());
        moments.min().filter(|_| all_wait)
    }

    fn pass(&mut self, setting: &Setting) {
        let Some(moment) = self.next_moment() else {
            return;
        };
        let by = moment.saturating_sub(NOW);
        self.calendar += by;
        while self.calendar >= setting.calendar + POLL_INTERVAL {
            self.calendar -= POLL_INTERVAL;
        }
        if !self.cluster.orphans.is_empty() {
            self.cluster.get_mut().rebase(by);
        }
        let now = self.now();
        for index in 0..self.replicas.len() {
            if self.replicas[index].process.is_none() {
                continue;
            }
            let process = self.process(index);
            process.rebase(by);
            if !process.frozen {
                process.wake(now);
            }
        }
    }

    fn thaw(&mut self, index: usize, sends: bool) {
        let now = self.now();
        let process = self.process(index);
        process.frozen = false;
        if sends {
            while let Some(number) = process.requests.iter().position(Request::is_decided) {
                process.send(number, now);
            }
        }
        process.wake(now);
    }

    fn start(&mut self, setting: &Setting, index: usize) {
        let now = self.now();
        let replica = self.replicas[index].get_mut();
        replica.starts += 1;
        let identity = format!("{index}-{}", replica.starts);
        replica.process = Some(Process::start(setting, identity, now));
        self.relist(index);
        if !setting.nodes.is_empty() {
            self.relist_nodes(index);
        }
        if setting.source.is_some() {
            self.relist_sources(index);
        }
    }

    fn relist_sources(&mut self, index: usize) {
        self.process(index).source_news = [SourceInput::Relisting(0)].into();
    }

    fn relist_nodes(&mut self, index: usize) {
        self.process(index).node_news = [NodeInput::Relisting].into();
    }

    /// The watch starts over. What it hadn't told is told by the list, or never.
    fn relist(&mut self, index: usize) {
        self.process(index).news = [Input::Relisting(0)].into();
    }

    /// A watch says that it starts over before it asks for the list.
    fn hear(&mut self, index: usize) {
        let now = self.now();
        let lists = matches!(self.process(index).news.front(), Some(Input::Relisting(_)));
        self.process(index).hear(now);
        if lists {
            let objects = self.cluster.objects.iter().flatten().cloned();
            let listed = objects.map(|object| Input::Listed(0, Box::new(object)));
            let list = listed.chain([Input::ListingDone(0)]).collect();
            self.process(index).news = list;
        }
    }

    fn hear_of_source(&mut self, index: usize) {
        let now = self.now();
        let news = &self.process(index).source_news;
        let lists = matches!(news.front(), Some(SourceInput::Relisting(_)));
        self.process(index).hear_of_source(now);
        if lists {
            let source = self.cluster.origin.source.iter().cloned();
            let listed = source.map(|source| SourceInput::Listed(0, Box::new(source)));
            let list = listed.chain([SourceInput::ListingDone(0)]).collect();
            self.process(index).source_news = list;
        }
    }

    fn tell_of_source(&mut self) {
        let event = match &self.cluster.origin.source {
            Some(source) => SourceInput::Applied(0, Box::new(source.clone())),
            None => SourceInput::Gone(source_key()),
        };
        for index in 0..self.replicas.len() {
            if self.replicas[index].process.is_some() {
                self.process(index).source_news.push_back(event.clone());
            }
        }
    }

    fn hear_of_node(&mut self, setting: &Setting, index: usize) {
        let now = self.now();
        let news = &self.process(index).node_news;
        let lists = matches!(news.front(), Some(NodeInput::Relisting));
        self.process(index).hear_of_node(now);
        if lists {
            let shown = (0..self.nodes.len()).map(|node| self.node_event(setting, node));
            let listed = shown.filter(|event| matches!(event, NodeInput::Applied(_)));
            let list = listed.chain([NodeInput::ListingDone]).collect();
            self.process(index).node_news = list;
        }
    }

    fn node_goes_on(&mut self, setting: &Setting, node: usize) {
        self.nodes[node] += 1;
        self.were_ready |= self.nodes_are_ready(setting);
        let event = self.node_event(setting, node);
        for index in 0..self.replicas.len() {
            if self.replicas[index].process.is_some() {
                self.process(index).node_news.push_back(event.clone());
            }
        }
    }

    /// What a watch tells of a Node as it is now.
    fn node_event(&self, setting: &Setting, node: usize) -> NodeInput {
        let name = format!("n-{node}");
        match setting.nodes[node][self.nodes[node]] {
            NodeTruth::Gone => NodeInput::Gone(name.into()),
            truth => NodeInput::Applied(Node {
                name: name.into(),
                instance: NodeInstance::parse(&format!("r.i-{node}")),
                is_ready: truth == NodeTruth::Ready,
                cluster: None,
            }),
        }
    }

    fn tell_of(&mut self, object: usize) {
        let event = match &self.cluster.objects[object] {
            Some(object) => Input::Applied(0, Box::new(object.clone())),
            None => Input::Gone(key_of(object)),
        };
        for index in 0..self.replicas.len() {
            if self.replicas[index].process.is_some() {
                self.process(index).news.push_back(event.clone());
            }
        }
    }

    fn befall(&mut self, index: usize, accident: Accident) {
        match accident {
            Accident::Crash => self.kill(index),
            Accident::Stop => {
                self.release(index);
                self.kill(index);
            }
            Accident::Freeze => self.process(index).frozen = true,
            Accident::Stall => self.process(index).stalled.objects = true,
            Accident::Relist => self.relist(index),
            Accident::RelistNodes => self.relist_nodes(index),
            Accident::StallSources => self.process(index).stalled.sources = true,
            Accident::RelistSources => self.relist_sources(index),
            Accident::Steal => {
                let thief = LeaseRecord {
                    holder: "somebody else".to_owned(),
                    duration: LEASE_DURATION,
                    ..self.cluster.lease.clone().unwrap_or_default()
                };
                self.set_lease(thief);
            }
            Accident::Unlease => {
                let cluster = self.cluster.get_mut();
                cluster.lease = None;
                cluster.was_unleased = true;
            }
        }
    }

    fn kill(&mut self, index: usize) {
        let now = self.now();
        let Some(mut process) = self.replicas[index].get_mut().process.take() else {
            return;
        };
        for request in std::mem::take(&mut process.requests) {
            process.give_up(request, now);
        }
        self.cluster.get_mut().orphans.extend(process.orphans);
    }

    /// Reads the Lease and gives it back, if it is this replica's.
    fn release(&mut self, index: usize) {
        let lease = self.cluster.lease.clone();
        let Some(mut election) = self.process(index).election.clone() else {
            return;
        };
        election.read(lease, NOW);
        if let Some(released) = election.release() {
            self.set_lease(released);
        }
    }

    fn set_lease(&mut self, record: LeaseRecord) {
        let version = self.unused_lease_version();
        self.cluster.get_mut().set_lease(record, version);
    }

    /// Versions are compared for being equal only, so the number of one that nobody remembers is as
    /// good as a new one; and states recur.
    fn unused_lease_version(&self) -> String {
        let mut used: Vec<&str> = Vec::new();
        used.extend(self.cluster.lease.iter().map(|lease| &*lease.version));
        let orphans = self.cluster.orphans.iter();
        let requests = self.processes().flat_map(|(_, process)| &process.requests);
        for request in requests.chain(orphans) {
            if let What::Claim(record) = &request.what {
                used.push(&record.version);
            }
            if let Stage::Answered(Reply::Lease(Some(lease)) | Reply::Claimed(Some(lease))) =
                &request.stage
            {
                used.push(&lease.version);
            }
        }
        let known = self
            .processes()
            .filter_map(|(_, process)| process.lease_version.as_deref());
        used.extend(known);
        let unused = |version: &String| !used.contains(&version.as_str());
        let mut versions = (1..1000_u32).map(|n| n.to_string());
        versions.find(unused).unwrap()
    }

    /// A request goes its way, or meets trouble on it.
    fn end(&mut self, setting: &Setting, index: usize, number: usize, fate: Fate) {
        let now = self.now();
        let mut request = self.process(index).requests.remove(number);
        let is_frozen = self.process(index).frozen;
        if let What::Call(call) = &request.what {
            let polled = &mut self.cluster.get_mut().polled[index_of(&call.key)];
            let new = call.poll_request.clone();
            let new = new.filter(|request| !polled.contains(request));
            polled.extend(new);
        }
        if fate == Fate::Late {
            request.stage = Stage::Late;
            return self.process(index).requests.insert(number, request);
        }
        let reply = match (&request.stage, fate) {
            (Stage::Answered(reply), _) => reply.clone(),
            (_, Fate::Fails) => Reply::Nothing,
            (_, Fate::Refused | Fate::Throttled) => refusal(&request.what, fate),
            _ => self.effect(setting, &request),
        };
        if fate == Fate::Slow || is_frozen {
            request.stage = Stage::Answered(reply);
            return self.process(index).requests.insert(number, request);
        }
        let is_lost = fate == Fate::Unheard;
        let reply = if is_lost { Reply::Nothing } else { reply };
        self.process(index).answer(request, reply, now);
    }

    /// What a request does where it arrives.
    fn effect(&mut self, setting: &Setting, request: &Request) -> Reply {
        let variant = setting.variant;
        let now = self.now();
        let (reply, changed, broken) = match &request.what {
            What::Call(call) => {
                let truth = self.truth(setting, index_of(&call.key));
                return Reply::Called(Box::new(result_of(truth, setting)));
            }
            What::List(call) => {
                let truths = (0..self.tasks.len()).map(|index| self.truth(setting, index));
                let truths: Vec<Truth> = truths.collect();
                return Reply::Listed(Ok(page(&truths, call.page, wall(Duration::ZERO))));
            }
            What::ReadLease => return Reply::Lease(self.cluster.lease.clone()),
            What::Claim(record) => {
                let version = self.unused_lease_version();
                let blindly = variant == Variant::ClaimsBlindly;
                let claimed = self.cluster.get_mut().claim(record, version, blindly);
                return Reply::Claimed(claimed);
            }
            What::Write(write) => {
                let blindly = variant == Variant::WritesBlindly;
                let landed = self.cluster.get_mut().write(write, blindly);
                let is_early = write.status.conditions.reason() == Some(Reason::NodesReady)
                    && !self.were_ready;
                self.broken = self.broken.or(is_early.then_some(Promise::NodesWereReady));
                (Reply::Written(landed.end), landed.changed, landed.broken)
            }
            What::Delete(deletion) => {
                let blindly = variant == Variant::DeletesBlindly;
                let landed = self.cluster.get_mut().delete(deletion, now.wall, blindly);
                let reply = Reply::Deleted { done: landed.end };
                (reply, landed.changed, landed.broken)
            }
            What::Create(creation, knows) => {
                let landed = self.cluster.get_mut().make(creation, *knows, now.wall);
                (Reply::Created(landed.end), landed.changed, landed.broken)
            }
            What::WriteSource(write) => return self.write_source(write, variant),
        };
        self.broken = self.broken.or(broken);
        if let Some(object) = changed {
            self.tell_of(object);
        }
        reply
    }

    fn write_source(&mut self, write: &SourceWrite, variant: Variant) -> Reply {
        let blindly = variant == Variant::WritesBlindly;
        let cluster = self.cluster.get_mut();
        let version = cluster.next_version();
        let landed = cluster.origin.write(write, version, blindly);
        self.broken = self.broken.or(landed.broken);
        if landed.changed.is_some() {
            self.tell_of_source();
        }
        Reply::SourceWritten(landed.end)
    }
}

/// The calendar, so long after the beginning.
fn wall(since: Duration) -> Timestamp {
    let start: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
    start + SignedDuration::try_from(since).unwrap()
}

fn result_of(truth: Truth, setting: &Setting) -> PollResult {
    let instances = setting.nodes.len();
    let listed = setting.source.map(|_| wall(Duration::ZERO));
    let instance = |number| Instance {
        id: format!("i-{number}"),
        status: "success".to_owned(),
    };
    match truth {
        Truth::Missing => Err(PollError::new(Reason::TaskNotFound)),
        Truth::State(state) => Ok(Task {
            state: state.to_owned(),
            results: (0..instances).map(instance).collect(),
            cluster_id: listed.map(|_| "c".to_owned()),
            updated: listed,
            ..Task::default()
        }),
    }
}

fn refusal(what: &What, fate: Fate) -> Reply {
    match (what, fate) {
        (What::Call(_), Fate::Throttled) => Reply::Called(Box::new(Err(PollError {
            retry_after: Some(Duration::from_secs(3)),
            ..PollError::new(Reason::Throttled)
        }))),
        (What::Call(_), _) => Reply::Called(Box::new(Err(PollError::new(Reason::AccessDenied)))),
        _ => Reply::Written(WriteResult::Refused),
    }
}
