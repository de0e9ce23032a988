//! `tasker workflow docs` and `tasker system docs`: pages in Markdown from a manifest.

use super::input;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::{Format, Global};
use crate::text;
use serde::Serialize;
use tasker_contracts::docs::{self, WorkflowPage};
use tasker_contracts::{Capability, System};
use tasker_manifest::Manifest;

/// One page, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Page {
    name: String,
    markdown: String,
}

/// Prints the page of the workflow in a manifest.
pub(super) fn workflow(file: &str, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let manifest = checked(file, global, console)?;
    let scene = tasker_drawing::Scene::of(&manifest.workflow, &tasker_drawing::LiveStates::default());
    let graph = tasker_drawing::mermaid(&scene);
    let page = WorkflowPage { workflow: &manifest.workflow, description: &manifest.description, graph: &graph };
    print(vec![Page { name: manifest.workflow.name.to_string(), markdown: docs::workflow(page) }], console)
}

/// Prints the pages of the systems in a manifest, or of one of them.
pub(super) fn system(file: &str, only: Option<&str>, global: &Global, console: &mut Console) -> Result<Exit, Failure> {
    let manifest = checked(file, global, console)?;
    let systems = match only {
        Some(name) => vec![find(&manifest, file, name)?],
        None => systems(&manifest),
    };
    print(systems.iter().map(|system| Page { name: system.name.clone(), markdown: docs::system(system) }).collect(), console)
}

fn print(pages: Vec<Page>, console: &mut Console) -> Result<Exit, Failure> {
    if console.format() == Format::Table {
        let all: Vec<&str> = pages.iter().map(|page| page.markdown.as_str()).collect();
        console.raw(&all.join("\n"))?;
        return Ok(Exit::Success);
    }
    #[derive(Serialize)]
    struct Pages {
        items: Vec<Page>,
    }
    let answer = serde_json::value::to_raw_value(&Pages { items: pages }).expect("pages are texts, which always print");
    console.answer(&answer, |_| Ok(String::new()))?;
    Ok(Exit::Success)
}

/// Reads and checks a manifest; its warnings are of no interest here.
///
/// # Errors
/// The diagnostics are printed first.
pub(super) fn checked(file: &str, global: &Global, console: &mut Console) -> Result<Manifest, Failure> {
    let source = input::read_text(file, console)?;
    check(&source, file, global, console)
}

/// As [`checked`], for a text that was read before.
pub(super) fn check(source: &str, file: &str, global: &Global, console: &mut Console) -> Result<Manifest, Failure> {
    let name = input::name_of(file);
    let namespace = super::workflow::parsed(&global.namespace)?;
    let checked = tasker_manifest::check(source, &name, &namespace);
    checked.manifest.ok_or_else(|| {
        for diagnostic in &checked.diagnostics {
            console.complain(&format!("{}\n", text::clean_lines(diagnostic.render().trim_end())));
        }
        Failure::Input {
            path: name,
            cause: "it is not a manifest without errors".to_owned(),
            help: Some("mend what is shown above".to_owned()),
        }
    })
}

/// Every system of a manifest, as pages and stubs need them.
pub(super) fn systems(manifest: &Manifest) -> Vec<System> {
    let capability = |declared: &tasker_manifest::DeclaredCapability| Capability {
        name: declared.name.to_string(),
        description: declared.description.clone(),
        timeout: declared.timeout,
        contract: declared.contract.clone(),
    };
    let system = |declared: &tasker_manifest::DeclaredSystem| System {
        name: declared.name.to_string(),
        base_url: declared.base_url.clone(),
        capabilities: declared.capabilities.iter().map(capability).collect(),
    };
    manifest.systems.iter().map(system).collect()
}

/// One system of a manifest by its name.
///
/// # Errors
/// Names those that there are.
pub(super) fn find(manifest: &Manifest, file: &str, name: &str) -> Result<System, Failure> {
    let mut systems = systems(manifest);
    match systems.iter().position(|system| system.name == name) {
        Some(place) => Ok(systems.swap_remove(place)),
        None => {
            let names: Vec<String> = systems.into_iter().map(|system| system.name).collect();
            Err(Failure::Absent {
                what: format!("{} declares no system `{}`", input::name_of(file), text::clean(name)),
                help: format!("it declares {}", names.join(", ")),
            })
        }
    }
}
