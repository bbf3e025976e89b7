//! Tests on a real control plane: etcd and kube-apiserver as they are, `kubectl`, and the operator as a process.
//!
//! A namespace per test; waits are on conditions, never on time.

mod cluster_account;
mod parsers;
mod relay;
mod script;
mod world;

mod suite {
    mod admission;
    mod attackers;
    mod backup;
    mod bounds;
    mod capacity;
    mod chart;
    mod corpus;
    mod crash;
    mod events;
    mod examples;
    mod failover;
    mod faults;
    mod gitops;
    mod how_to;
    mod installed;
    mod lives;
    mod memory;
    mod named;
    mod payments;
    mod protocol;
    mod replay;
    mod runbooks;
    mod running;
    mod scale;
    mod simulate;
    mod telemetry;
    mod transcripts;
    mod trouble;
}
