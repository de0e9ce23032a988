//! `tasker task watch`: a task until its end. A terminal sees a table that is redrawn in place; a pipe gets a line for each event.

use super::{events, wait};
use crate::answers::{Outcome, StepDetail, TaskDetail};
use crate::client::Client;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow;
use crate::global::Format;
use crate::look::Look;
use crate::{render, text};
use std::time::Duration;

/// Running times are redrawn this often, and the server is asked for the state no more often than this.
const REDRAW: Duration = Duration::from_millis(250);
/// Lines of a drawing beside the steps: the heading, the table's heading, what was left out, and the cursor's own line.
const LINES_BESIDE_STEPS: usize = 5;

pub(super) async fn run(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    if console.is_live() && console.format() == Format::Table {
        redrawn(id, client, console).await?;
    } else {
        events::live(id, 0, client, console).await?;
    }
    end(id, client, console).await
}

/// Says how it ended, and exits accordingly.
async fn end(id: &str, client: &Client, console: &mut Console) -> Result<Exit, Failure> {
    let answer = client.get(&["tasks", id, "result"]).patient().send().await?;
    let outcome: Outcome = answer.read()?;
    if console.format() == Format::Table {
        let said = render::task::outcome(&outcome, &Look { colour: false, ..console.look() });
        if outcome.status == "succeeded" {
            console.chat(&said);
        } else {
            console.complain(&said);
        }
    }
    Ok(wait::exit_of(&outcome.status))
}

/// Redraws the table after events and as time passes. The server's answer is drawn, never our own idea of the state.
async fn redrawn(id: &str, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let mut events = follow::follow(client.clone(), id.to_owned(), 0);
    let mut clock = tokio::time::interval(REDRAW);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut task = ask(id, client).await?;
    let mut changed = false;
    let mut drawn = 0;
    loop {
        tokio::select! {
            seen = events.recv() => match seen {
                Some(seen) => { seen?; changed = true; }
                None => break,
            },
            _ = clock.tick() => {
                if std::mem::take(&mut changed) {
                    task = ask(id, client).await?;
                }
                drawn = redraw(&task, drawn, console)?;
            }
        }
    }
    task = ask(id, client).await?;
    redraw(&task, drawn, console)?;
    Ok(())
}

async fn ask(id: &str, client: &Client) -> Result<TaskDetail, Failure> {
    client.get(&["tasks", id]).patient().send().await?.read()
}

/// Draws over the last drawing, which had so many lines. Gives the number of lines of this one.
fn redraw(task: &TaskDetail, drawn: usize, console: &mut Console) -> Result<usize, Failure> {
    let drawing = draw(task, &console.look());
    let back = if drawn > 0 { format!("\u{1b}[{drawn}A\u{1b}[J") } else { String::new() };
    console.print(&format!("{back}{drawing}"))?;
    Ok(drawing.lines().count())
}

/// The heading and as many steps as fit; those that move come before those that are over or not yet due.
fn draw(task: &TaskDetail, look: &Look) -> String {
    let name = format!("{}  {} {}  ", text::clean(&task.id), text::clean(&task.workflow), text::clean(&task.version));
    let mut out = format!("{name}{}\n\n", render::task::status(task, look));
    let mut shown = task.steps.len();
    let room = usize::from(look.height).saturating_sub(1);
    loop {
        let table = render::step::table(&most_important(&task.steps, shown), look);
        let left_out = task.steps.len() - shown;
        if shown == 0 || table.lines().count() + LINES_BESIDE_STEPS - 2 + usize::from(left_out > 0) <= room {
            out.push_str(&table);
            if left_out > 0 {
                out.push_str(&format!(
                    "… and {} more; `tasker task show {}` lists all\n",
                    text::counted(left_out, "step"),
                    text::clean(&task.id)
                ));
            }
            return out;
        }
        shown -= 1;
    }
}

/// The most important steps, in the order of the graph.
fn most_important(steps: &[StepDetail], count: usize) -> Vec<StepDetail> {
    let importance = |step: &StepDetail| match step.state.as_str() {
        "failed" | "held" => 0,
        "running" | "backing_off" | "waiting" | "fanned_out" | "falling_back" => 1,
        "ready" | "parked" => 2,
        "pending" => 3,
        "standby" => 5,
        _ => 4,
    };
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|&index| importance(&steps[index]));
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|index| steps[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide_task(steps: usize) -> TaskDetail {
        let mut task: TaskDetail = serde_json::from_str(render::task::tests::RUNNING).expect("the fixture fits the contract");
        let (first, running) = (task.steps[0].clone(), task.steps[1].clone());
        task.steps = (0..steps).map(|number| StepDetail { name: format!("step_{number}"), ..first.clone() }).collect();
        task.steps.push(running);
        task
    }

    fn look(height: u16) -> Look {
        Look { now: "2026-11-21T07:00:03Z".parse().expect("a valid instant"), width: Some(120), height, ..Look::plain() }
    }

    #[test]
    fn a_small_task_is_drawn_whole() {
        let task = serde_json::from_str(render::task::tests::RUNNING).expect("the fixture fits the contract");
        insta::assert_snapshot!(draw(&task, &look(24)));
    }

    #[test]
    fn a_large_task_fits_the_terminal_and_keeps_what_moves() {
        for height in [8_u16, 12, 24] {
            let drawing = draw(&wide_task(500), &look(height));
            assert!(drawing.lines().count() < usize::from(height), "{height}: {drawing}");
            assert!(drawing.contains("reserve_inventory"), "{drawing}");
            assert!(drawing.contains("more; `tasker task show tsk_06f1a2b3c4d5e`"), "{drawing}");
        }
    }
}
