//! Collects the pages of `docs/errors/`, so that `tasker help CODE` prints them without a network.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let crate_folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts"));
    let out_folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let errors = crate_folder.join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", errors.display());

    let mut pages: Vec<(String, PathBuf)> = fs::read_dir(&errors)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
                .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.canonicalize().ok()?)))
                .filter(|(code, _)| code.contains('.'))
                .collect()
        })
        .unwrap_or_default();
    pages.sort();

    let mut code = String::from("pub(super) const PAGES: &[(&str, &str)] = &[\n");
    for (name, path) in pages {
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_str!({path:?})),").expect("writing to a string never fails");
    }
    code.push_str("];\n");
    fs::write(out_folder.join("error_pages.rs"), code).expect("cargo's output folder is writable");
}
