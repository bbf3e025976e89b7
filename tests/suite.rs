//! Tests on a real control plane: etcd, kube-apiserver, `kubectl`, and the operator as a process.
//!
//! Each test has its own namespace. Tests wait for conditions, never for a fixed time.

mod cluster_account;
mod free_address;
mod judge;
mod parsers;
mod postgres;
mod relay;
mod script;
mod world;

mod suite {
    mod admission;
    mod attackers;
    mod backup;
    mod billed;
    mod bounds;
    mod capacity;
    mod chart;
    mod corpus;
    mod crash;
    mod events;
    mod examples;
    mod failover;
    mod faults;
    mod gate;
    mod gate_speed;
    mod gitops;
    mod history;
    mod how_to;
    mod installed;
    mod lives;
    mod memory;
    mod meter;
    mod meter_speed;
    mod named;
    mod page;
    mod payments;
    mod portal;
    mod portal_speed;
    mod preview;
    mod prometheus;
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
