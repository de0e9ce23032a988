//! Searches, against a filter that reads every task.

use crate::database::Database;
use crate::words::{at, task, task_row};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use tasker_engine::{Namespace, TaskId, TaskStatus, WorkflowName};
use tasker_runtime::port::store::{Batch, Search, TaskRow, WaitingFor};

const TASKS: usize = 400;
const SEARCHES: usize = 400;

fn namespace() -> impl Strategy<Value = Namespace> {
    prop_oneof![4 => Just("shop"), 1 => Just("other")].prop_map(|name| Namespace::new(name).expect("of the right form"))
}

fn workflow() -> impl Strategy<Value = WorkflowName> {
    prop_oneof![Just("order"), Just("refund"), Just("rare")].prop_map(|name| WorkflowName::new(name).expect("of the right form"))
}

fn status() -> impl Strategy<Value = TaskStatus> {
    prop_oneof![Just(TaskStatus::Running), Just(TaskStatus::Succeeded), Just(TaskStatus::Failed), Just(TaskStatus::Cancelled)]
}

fn error_code() -> impl Strategy<Value = String> {
    prop_oneof![Just("card_declined"), Just("worker.lost")].prop_map(str::to_owned)
}

/// Few names and values, so that searches meet them; some with characters that break out of careless statements.
fn labels(most: usize) -> impl Strategy<Value = BTreeMap<String, String>> {
    let name = prop_oneof![Just("customer"), Just("region"), Just("a'\"b\0"), Just("")].prop_map(str::to_owned);
    let value = prop_oneof![Just("1"), Just("2"), Just("%_"), Just("\0"), Just("\0x"), Just("é")].prop_map(str::to_owned);
    btree_map(name, value, 0..=most)
}

fn waiting(most: usize) -> impl Strategy<Value = BTreeSet<WaitingFor>> {
    btree_set(prop::sample::select(WaitingFor::ALL.to_vec()), 0..=most)
}

/// Few parents, so that they have several children and searches meet them.
fn parent() -> impl Strategy<Value = TaskId> {
    (1i64..6).prop_map(task)
}

fn tasks() -> impl Strategy<Value = Vec<TaskRow>> {
    let waits = prop_oneof![2 => Just(BTreeSet::new()), 1 => waiting(3)];
    let one = (namespace(), workflow(), status(), option::of(error_code()), labels(4), 0i64..50, option::weighted(0.3, parent()), waits);
    vec(one, TASKS).prop_map(|rows| {
        let numbered = rows.into_iter().enumerate();
        let built = numbered.map(|(place, (namespace, workflow, status, error_code, labels, accepted_at, parent, waiting))| TaskRow {
            namespace,
            workflow,
            status,
            error_code,
            labels,
            accepted_at: at(accepted_at),
            parent,
            waiting,
            ..task_row(1 + 3 * place as i64, 0)
        });
        built.collect()
    })
}

fn search() -> impl Strategy<Value = Search> {
    let few = TASKS as i64 * 3 + 5;
    (
        namespace(),
        vec(status(), 0..4),
        option::weighted(0.3, workflow()),
        option::weighted(0.3, error_code()),
        prop_oneof![2 => Just(BTreeMap::new()), 1 => labels(3)],
        option::weighted(0.3, 0i64..50),
        option::weighted(0.3, 0i64..50),
        (option::weighted(0.3, 0..few), 1usize..=200),
        option::weighted(0.2, parent()),
        prop_oneof![2 => Just(BTreeSet::new()), 1 => waiting(3)],
    )
        .prop_map(|(namespace, statuses, workflow, error_code, labels, from, before_time, (before, limit), parent, waiting)| Search {
            namespace,
            statuses,
            workflow,
            error_code,
            labels,
            parent,
            waiting,
            accepted_from: from.map(at),
            accepted_before: before_time.map(at),
            before: before.map(task),
            limit,
        })
}

fn naive(rows: &[TaskRow], search: &Search) -> Vec<TaskRow> {
    let fits = |row: &&TaskRow| {
        row.namespace == search.namespace
            && (search.statuses.is_empty() || search.statuses.contains(&row.status))
            && search.workflow.as_ref().is_none_or(|workflow| *workflow == row.workflow)
            && (search.error_code.is_none() || search.error_code == row.error_code)
            && (search.parent.is_none() || search.parent == row.parent)
            && (search.waiting.is_empty() || !search.waiting.is_disjoint(&row.waiting))
            && search.labels.iter().all(|(name, value)| row.labels.get(name) == Some(value))
            && search.accepted_from.is_none_or(|from| row.accepted_at >= from)
            && search.accepted_before.is_none_or(|before| row.accepted_at < before)
            && search.before.is_none_or(|before| row.id < before)
    };
    let mut found: Vec<TaskRow> = rows.iter().filter(fits).cloned().collect();
    found.sort_by_key(|row| std::cmp::Reverse(row.id));
    found.truncate(search.limit);
    found
}

fn draw<T>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).expect("nothing is rejected").current()
}

pub async fn every_search_finds_what_a_naive_filter_finds(database: Database) {
    let mut runner = TestRunner::deterministic();
    let store = database.open().await;
    let mut rows = draw(&mut runner, tasks());
    store.commit(Batch { tasks: rows.clone(), ..Batch::default() }).await.expect("commits");
    let mut found = 0;
    for round in 0..2 {
        for _ in 0..SEARCHES {
            let search = draw(&mut runner, search());
            let expected = naive(&rows, &search);
            found += usize::from(!expected.is_empty());
            assert_eq!(store.search(&search).await.expect("reads"), expected, "round {round}: {search:?}");
        }
        // The second round searches after some tasks have moved on.
        for row in rows.iter_mut().filter(|row| row.status == TaskStatus::Running) {
            row.status = draw(&mut runner, status());
            row.error_code = draw(&mut runner, option::of(error_code()));
            row.waiting = draw(&mut runner, waiting(2));
        }
        store.commit(Batch { tasks: rows.clone(), ..Batch::default() }).await.expect("commits");
    }
    assert!(found > SEARCHES / 2, "the searches are not so narrow that they prove nothing: {found}");
}

fn everything() -> Search {
    Search {
        namespace: crate::words::shop(),
        statuses: vec![],
        workflow: None,
        error_code: None,
        labels: BTreeMap::new(),
        parent: None,
        waiting: BTreeSet::new(),
        accepted_from: None,
        accepted_before: None,
        before: None,
        limit: 200,
    }
}

pub async fn pages_follow_each_other_without_gap_or_repeat(database: Database) {
    let store = database.open().await;
    let rows = draw(&mut TestRunner::deterministic(), tasks());
    store.commit(Batch { tasks: rows.clone(), ..Batch::default() }).await.expect("commits");
    let searches = [
        Search { limit: 7, ..everything() },
        Search { limit: 7, statuses: vec![TaskStatus::Failed, TaskStatus::Cancelled], ..everything() },
        Search { limit: 7, labels: [("region".to_owned(), "1".to_owned())].into(), ..everything() },
        Search { limit: 7, parent: Some(task(3)), ..everything() },
        Search { limit: 7, waiting: [WaitingFor::Approval, WaitingFor::Held].into(), ..everything() },
    ];
    for mut search in searches {
        let expected = naive(&rows, &Search { limit: TASKS, ..search.clone() });
        let mut read: Vec<TaskRow> = Vec::new();
        loop {
            search.before = read.last().map(|row| row.id);
            let page = store.search(&search).await.expect("reads");
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 7);
            read.extend(page);
        }
        assert!(!expected.is_empty());
        assert_eq!(read, expected);
    }
}

pub async fn a_page_is_never_larger_than_the_limit(database: Database) {
    let store = database.open().await;
    let rows: Vec<TaskRow> = (1..=250).map(|number| task_row(number, 0)).collect();
    store.commit(Batch { tasks: rows, ..Batch::default() }).await.expect("commits");
    for (asked, given) in [(0, 1), (1, 1), (200, 200), (201, 201), (10_000, 201)] {
        assert_eq!(store.search(&Search { limit: asked, ..everything() }).await.expect("reads").len(), given, "asked for {asked}");
    }
}
