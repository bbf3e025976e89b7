//! A cluster in memory that charges reports as the operator does.

use std::collections::BTreeMap;
use std::sync::Mutex;

use flashgate_api::usage_meter::MeterReport;
use flashgate_api::usage_report::{UsageReportState, UsageReportStatus};
use flashgate_api::{AccountKey, Condition, UsageReport};
use flashgate_meter::cluster::{CallError, Cluster, Creation};
use flashgate_testing::random::Random;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use rust_decimal::Decimal;

#[derive(Debug)]
struct State {
    now: Timestamp,
    /// The reports by namespace and name, with the number of their creation.
    reports: BTreeMap<(String, String), (usize, UsageReport)>,
    /// Names of all reports that ever existed, in the order of their creation.
    names: Vec<String>,
    /// Charged windows by account and source.
    charged: BTreeMap<(AccountKey, String), Vec<(Timestamp, Timestamp)>>,
    sums: BTreeMap<AccountKey, Decimal>,
    faults_permille: u64,
    random: Random,
}

/// A cluster in memory.
#[derive(Debug)]
pub struct SimulatedCluster {
    state: Mutex<State>,
}

impl Default for SimulatedCluster {
    fn default() -> Self {
        let state = State {
            now: Timestamp::default(),
            reports: BTreeMap::new(),
            names: Vec::new(),
            charged: BTreeMap::new(),
            sums: BTreeMap::new(),
            faults_permille: 0,
            random: Random::of(0),
        };
        Self { state: Mutex::new(state) }
    }
}

fn account_of(report: &UsageReport) -> AccountKey {
    let name = report.spec.subscription_ref.name.clone();
    AccountKey { namespace: report.namespace().unwrap_or_default(), name }
}

fn quantity(report: &UsageReport) -> Decimal {
    let lines = report.spec.usage.iter();
    lines.map(|line| Decimal::from_str_exact(line.quantity.as_str()).expect("a decimal")).sum()
}

impl State {
    /// Returns an error in some of the calls.
    fn fault(&mut self, call: &str) -> Result<(), CallError> {
        if self.random.chance(self.faults_permille) {
            return Err(CallError { call: call.to_owned(), detail: "lost".to_owned() });
        }
        Ok(())
    }
}

impl SimulatedCluster {
    pub fn set_now(&self, now: Timestamp) {
        self.state.lock().expect("state").now = now;
    }

    /// Lets this share of the calls fail, before or after their effect.
    pub fn set_faults(&self, permille: u64, seed: u64) {
        let mut state = self.state.lock().expect("state");
        (state.faults_permille, state.random) = (permille, Random::of(seed));
    }

    /// Charges the reports without a verdict, in the order of their creation.
    pub fn judge(&self) {
        let mut state = self.state.lock().expect("state");
        let mut pending: Vec<_> = state
            .reports
            .iter()
            .filter(|(_, (_, report))| report.status.is_none())
            .map(|(key, (number, report))| (*number, key.clone(), report.clone()))
            .collect();
        pending.sort_by_key(|(number, ..)| *number);
        for (_, key, mut report) in pending {
            let (account, source) = (account_of(&report), report.spec.source.clone());
            let (start, end) = (report.spec.window.start_time, report.spec.window.end_time);
            assert!(start < end, "{key:?} has an empty window");
            let windows = state.charged.entry((account.clone(), source)).or_default();
            let is_duplicate = windows.iter().any(|(from, until)| start < *until && *from < end);
            let (verdict, reason) = if is_duplicate {
                (UsageReportState::Rejected, "DuplicateWindow")
            } else {
                // A report without cost covers nothing.
                if !quantity(&report).is_zero() {
                    windows.push((start, end));
                }
                *state.sums.entry(account).or_default() += quantity(&report);
                (UsageReportState::Charged, "Charged")
            };
            let condition = Condition {
                type_: "Ready".to_owned(),
                status: if is_duplicate { "False" } else { "True" }.to_owned(),
                reason: reason.to_owned(),
                message: String::new(),
                observed_generation: None,
                last_transition_time: Time(state.now),
            };
            report.status = Some(UsageReportStatus {
                state: Some(verdict),
                conditions: vec![condition],
                ..UsageReportStatus::default()
            });
            if let Some((_, stored)) = state.reports.get_mut(&key) {
                *stored = report;
            }
        }
    }

    /// Deletes the reports that have a verdict, but for the last one of each verdict, account and source.
    pub fn sweep(&self) {
        let mut state = self.state.lock().expect("state");
        let mut last: BTreeMap<_, Timestamp> = BTreeMap::new();
        let class = |report: &UsageReport| {
            let verdict = report.status.as_ref().and_then(|status| status.state);
            (format!("{verdict:?}"), account_of(report), report.spec.source.clone())
        };
        for (_, report) in state.reports.values() {
            let end = last.entry(class(report)).or_insert(Timestamp::MIN);
            *end = (*end).max(report.spec.window.end_time);
        }
        state.reports.retain(|_, (_, report)| {
            report.status.is_none() || last.get(&class(report)) == Some(&report.spec.window.end_time)
        });
    }

    /// Deletes a report, as an administrator can.
    pub fn delete(&self, name: &str) {
        self.state.lock().expect("state").reports.retain(|(_, known), _| known != name);
    }

    /// Returns the quantity that an account was charged.
    pub fn charged(&self, account: &AccountKey) -> Decimal {
        self.state.lock().expect("state").sums.get(account).copied().unwrap_or_default()
    }

    /// Returns the names of all reports in the order of their creation.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().expect("state").names.clone()
    }
}

impl Cluster for SimulatedCluster {
    async fn reports(&self, _meter: &str, _namespace: Option<&str>) -> Result<Vec<MeterReport>, CallError> {
        let mut state = self.state.lock().expect("state");
        state.fault("list reports")?;
        Ok(state.reports.values().filter_map(|(_, report)| MeterReport::of(&report.metadata)).collect())
    }

    async fn rejected(&self, _meter: &str, _namespace: Option<&str>) -> Result<Vec<UsageReport>, CallError> {
        let mut state = self.state.lock().expect("state");
        state.fault("list rejected reports")?;
        let is_rejected = |report: &UsageReport| {
            report.status.as_ref().is_some_and(|status| status.state == Some(UsageReportState::Rejected))
        };
        Ok(state.reports.values().map(|(_, report)| report.clone()).filter(is_rejected).collect())
    }

    async fn report(&self, namespace: &str, name: &str) -> Result<Option<UsageReport>, CallError> {
        let mut state = self.state.lock().expect("state");
        state.fault("get a report")?;
        let key = (namespace.to_owned(), name.to_owned());
        Ok(state.reports.get(&key).map(|(_, report)| report.clone()))
    }

    async fn create(&self, report: &UsageReport) -> Result<Creation, CallError> {
        let mut state = self.state.lock().expect("state");
        state.fault("create a report")?;
        let key = (report.namespace().unwrap_or_default(), report.name_any());
        if state.reports.contains_key(&key) {
            return Ok(Creation::Existed);
        }
        let number = state.names.len();
        state.names.push(key.1.clone());
        state.reports.insert(key, (number, report.clone()));
        state.fault("hear that a report is created")?;
        Ok(Creation::Created)
    }

    async fn covered_until(
        &self,
        account: &AccountKey,
        source: &str,
    ) -> Result<Option<Timestamp>, CallError> {
        let mut state = self.state.lock().expect("state");
        state.fault("get a ledger")?;
        let windows = state.charged.get(&(account.clone(), source.to_owned()));
        Ok(windows.and_then(|windows| windows.iter().map(|(_, end)| *end).max()))
    }
}
