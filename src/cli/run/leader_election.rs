//! Options of leader election.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::operator::election::{Settings, Times};

/// File in which a pod finds its namespace.
pub const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Longest name of a Lease.
const NAME_LENGTH: usize = 253;

/// Options of the election of a leader. The defaults are those of Kubernetes' own controllers.
#[derive(Debug, clap::Args)]
pub struct LeaderElection {
    /// Enables leader election: only the operator that holds the Lease reconciles; the others are on standby
    #[arg(long = "leader-elect")]
    stands: bool,
    /// Namespace of the Lease; the pod's own when absent
    #[arg(long = "leader-elect-namespace", value_name = "NAMESPACE", requires = "stands", value_parser = name)]
    lease_namespace: Option<String>,
    /// Name of the Lease; operators of other namespaces have a name of their own
    #[arg(long = "leader-elect-name", value_name = "NAME", requires = "stands", value_parser = name)]
    #[arg(default_value = "flashgate-billing")]
    lease_name: String,
    /// Lease duration: seconds without renewal before a standby takes over
    #[arg(
        long = "leader-elect-lease-seconds",
        value_name = "SECONDS",
        requires = "stands",
        default_value_t = 15
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(3..=3_600))]
    lease_seconds: u16,
    /// Renew deadline: seconds that a leader keeps leading without a renewal; must be less than the lease duration
    #[arg(
        long = "leader-elect-renew-seconds",
        value_name = "SECONDS",
        requires = "stands",
        default_value_t = 10
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(2..=3_599))]
    renew_seconds: u16,
    /// Retry period: seconds between two renewals, or two attempts of a standby; must be less than the renew deadline
    #[arg(
        long = "leader-elect-retry-seconds",
        value_name = "SECONDS",
        requires = "stands",
        default_value_t = 2
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=3_598))]
    retry_seconds: u16,
}

impl LeaderElection {
    /// Returns the settings of an operator on the machine or pod called `host`, or `None` without leader
    /// election.
    ///
    /// # Errors
    /// When the times contradict each other, or the namespace is not known.
    pub fn settings(&self, host: &str) -> anyhow::Result<Option<Settings>> {
        self.settings_with(host, Path::new(NAMESPACE_FILE))
    }

    fn settings_with(&self, host: &str, namespace_file: &Path) -> anyhow::Result<Option<Settings>> {
        if !self.stands {
            return Ok(None);
        }
        let times = self.times()?;
        let namespace = match &self.lease_namespace {
            Some(namespace) => namespace.clone(),
            None => namespace_of_pod("--leader-elect-namespace", namespace_file)?,
        };
        let name = self.lease_name.clone();
        Ok(Some(Settings { namespace, name, identity: identity(host), times }))
    }

    fn times(&self) -> anyhow::Result<Times> {
        let Self { lease_seconds: lease, renew_seconds: renew, retry_seconds: retry, .. } = self;
        ensure!(
            renew < lease,
            "`--leader-elect-renew-seconds {renew}` must be less than `--leader-elect-lease-seconds {lease}`: \
             a leader must give up before another takes over"
        );
        ensure!(
            retry < renew,
            "`--leader-elect-retry-seconds {retry}` must be less than `--leader-elect-renew-seconds {renew}`: \
             a leader must be able to try more than once"
        );
        let [lease, renew, retry] =
            [lease, renew, retry].map(|seconds| Duration::from_secs(u64::from(*seconds)));
        Ok(Times { lease, renew, retry })
    }
}

/// Returns the namespace of the pod. Outside a pod, `option` must be given.
///
/// # Errors
/// When the file cannot be read or does not contain a name.
pub fn namespace_of_pod(option: &str, file: &Path) -> anyhow::Result<String> {
    let namespace = std::fs::read_to_string(file).with_context(|| {
        format!("`{option}` must be given outside a pod: {} cannot be read", file.display())
    })?;
    name(namespace.trim()).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

/// Returns an identity for this process. No two processes have the same, not even a container and its
/// replacement.
fn identity(host: &str) -> String {
    // The hasher has random keys, so its result is a random number.
    format!("{host}_{:016x}", RandomState::new().build_hasher().finish())
}

/// Reads a name that is valid in Kubernetes.
///
/// # Errors
/// The required form of the name, for messages.
pub fn name(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_name = text.chars().all(|letter| is_plain(letter) || letter == '-' || letter == '.')
        && text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.len() <= NAME_LENGTH;
    if is_name {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must consist of at most {NAME_LENGTH} lower case letters, digits, '-' and '.', and begin and end with \
             a letter or digit"
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        election: LeaderElection,
    }

    fn parse(arguments: &[&str]) -> Result<LeaderElection, clap::Error> {
        let line = ["run"].into_iter().chain(arguments.iter().copied());
        Line::try_parse_from(line).map(|line| line.election)
    }

    fn settings(arguments: &[&str], file: &str) -> anyhow::Result<Option<Settings>> {
        let file = std::env::temp_dir().join(file);
        parse(arguments).expect("arguments").settings_with("host", &file)
    }

    #[test]
    fn leader_election_is_off_by_default() {
        assert_eq!(settings(&[], "absent").expect("settings"), None);
        let alone = parse(&["--leader-elect-name", "other"]).expect_err("without --leader-elect").to_string();
        assert!(alone.contains("--leader-elect"), "{alone}");
    }

    #[test]
    fn the_defaults_are_those_of_kubernetes_and_no_two_candidates_are_the_same() {
        let stand = || {
            let settings = settings(&["--leader-elect", "--leader-elect-namespace", "billing"], "absent");
            settings.expect("settings").expect("stands")
        };
        let Settings { namespace, name, identity, times } = stand();
        assert_eq!((namespace.as_str(), name.as_str()), ("billing", "flashgate-billing"));
        let seconds = [times.lease, times.renew, times.retry].map(|time| time.as_secs());
        assert_eq!(seconds, [15, 10, 2]);
        assert!(identity.starts_with("host_"), "{identity}");
        assert_ne!(identity, stand().identity);
    }

    #[test]
    fn the_namespace_is_the_pods_own_or_must_be_given() {
        let file = format!("namespace-{}", std::process::id());
        std::fs::write(std::env::temp_dir().join(&file), "billing\n").expect("file");
        let found = settings(&["--leader-elect"], &file).expect("settings").expect("stands");
        std::fs::remove_file(std::env::temp_dir().join(&file)).expect("removed");
        assert_eq!(found.namespace, "billing");
        let error = settings(&["--leader-elect"], "absent").expect_err("no namespace").to_string();
        assert!(error.contains("`--leader-elect-namespace` must be given"), "{error}");
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_with_what_they_must_be() {
        let refused = |arguments: &[&str]| {
            let arguments: Vec<&str> = ["--leader-elect", "--leader-elect-namespace", "billing"]
                .into_iter()
                .chain(arguments.iter().copied())
                .collect();
            settings(&arguments, "absent").expect_err("contradiction").to_string()
        };
        let error = refused(&["--leader-elect-lease-seconds", "10"]);
        assert!(error.contains("must be less than `--leader-elect-lease-seconds 10`"), "{error}");
        let error = refused(&["--leader-elect-retry-seconds", "10"]);
        assert!(error.contains("must be less than `--leader-elect-renew-seconds 10`"), "{error}");
        assert!(parse(&["--leader-elect", "--leader-elect-lease-seconds", "2"]).is_err());
    }

    #[test]
    fn names_are_checked_before_anything_starts() {
        for wrong in ["", "Billing", "-billing", "billing.", "a_b"] {
            let error =
                parse(&["--leader-elect", "--leader-elect-name", wrong]).expect_err(wrong).to_string();
            assert!(
                error.contains("must consist of") || wrong.is_empty() || wrong.starts_with('-'),
                "{error}"
            );
        }
    }
}
