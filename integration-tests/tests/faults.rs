//! The short form of the faults of `docs/reliability.md`: those that need nothing but the toolchain and what other tests need, too. All of them, at
//! full size: `make faults`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tasker_integration_tests::faults::{Size, rows};
use tasker_integration_tests::place::repository;

/// Side by side they would wait for each other's processors, and the bounds on time would measure that.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn play(name: &str) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let row = rows().into_iter().find(|row| row.name == name).expect("a row of this name");
    assert!(row.short, "`{name}` has no short form for every machine");
    let seen = (row.play)(Size::Short);
    assert!(seen.injected > 0, "`{name}` injected nothing");
    println!("{name}: {} times; {}", seen.injected, seen.says);
}

macro_rules! short_rows {
    ($($test:ident = $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                play($name);
            }
        )*

        const PLAYED: &[&str] = &[$($name),*];
    };
}

short_rows! {
    a_coordinator_that_dies_before_a_commit = "kill.before_commit";
    a_coordinator_that_dies_between_commit_and_send = "kill.after_commit_before_send";
    a_coordinator_that_dies_after_sending = "kill.after_send";
    a_coordinator_that_stands_still_blames_no_worker = "stop.coordinator";
    a_full_disk_refuses_changes_and_heals = "disk.full";
    a_failed_sync_ends_the_process = "disk.sync_error";
    a_disk_that_never_syncs_acknowledges_nothing = "disk.sync_error_for_good";
    a_wall_clock_that_jumps = "clock.jumps";
    an_empty_nats_server_in_the_place_of_another = "wire.nats_replaced";
    connections_that_are_cut = "wire.cut";
    messages_that_arrive_four_times = "wire.repeated";
    messages_that_arrive_damaged = "wire.damaged";
    a_worker_that_dies_with_its_hands_full = "worker.killed";
    a_worker_that_hangs = "worker.hangs";
    a_step_that_kills_its_workers = "worker.poisoned";
    a_worker_that_lies = "worker.lies";
    payloads_that_are_too_large = "payload.oversize";
    a_crowd_of_workers_at_once = "crowd.workers";
    a_crowd_of_timers_at_once = "crowd.timers";
    a_database_that_ends_sessions = "database.terminated";
    a_second_server_on_one_file = "database.second_server";
}

#[test]
fn every_row_with_a_short_form_is_played_here() {
    let short: BTreeSet<&str> = rows().iter().filter(|row| row.short).map(|row| row.name).collect();
    assert_eq!(short, PLAYED.iter().copied().collect());
}

/// The commands of the table, `deploy/faults ROW`, and the rows.
#[test]
fn every_row_is_in_the_table_with_a_command_that_exists() {
    let text = std::fs::read_to_string(repository().join("docs/reliability.md")).expect("docs/reliability.md");
    let commands: Vec<&str> = text.split("`deploy/faults ").skip(1).filter_map(|rest| rest.split_once('`')).map(|(name, _)| name).collect();
    let told: BTreeSet<&str> = commands.iter().copied().filter(|name| name.contains('.')).collect();
    let known: BTreeSet<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(told, known, "left: the table of docs/reliability.md; right: the rows that can be played");
    assert!(repository().join("deploy/faults").is_file());
}
