//! What people and programs give wrongly is refused with its code, its place, its reason and its cure, and nothing is lost or half done.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tasker_integration_tests::coordinator::Setup;
use tasker_integration_tests::place::{repository, tasker};
use tasker_integration_tests::ports;
use tasker_integration_tests::postgres::Cluster;
use tasker_integration_tests::stage::{Stage, on_stage};
use tasker_integration_tests::until::SOON;

const STRICT: &str = "
name: strict
version: 1.0.0
input: { type: object, additionalProperties: false, required: [order_id], properties: { order_id: { type: string, maxLength: 10 } } }
systems: { only: {} }
workflow_steps: [{ name: step, owner: only, capability: order.check }]
";

/// A start that cannot succeed is given up within this time.
const GIVE_UP_MAX: Duration = Duration::from_secs(25);

fn documented(code: &str) -> Result<()> {
    ensure!(repository().join(format!("docs/errors/{code}.md")).exists(), "`{code}` has no page under docs/errors");
    Ok(())
}

#[test]
fn a_manifest_that_is_not_acceptable_is_refused_with_place_reason_and_cure() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        let table = [
            ("name: [unclosed\n", "manifest.syntax"),
            ("name: a\nname: b\nversion: 1.0.0\n", "manifest.duplicate_key"),
            ("name: a\nversion: 1.0.0\nsystems: {}\nworkflow_stepz: []\n", "manifest.unknown_field"),
            ("a: &x [1]\nb: *y\n", "manifest.bad_alias"),
            (&STRICT.replace("owner: only", "owner: onyl"), "manifest.unknown_owner"),
            (&STRICT.replace("order.check }", "order.check, depends_on: nobody }"), "manifest.unknown_dependency"),
            (&STRICT.replace("order.check }", "order.check, depends_on: step }"), "manifest.self_dependency"),
            (&STRICT.replace("order.check }", "order.check, timeout: soon }"), "manifest.bad_duration"),
            (&STRICT.replace("order.check }", "order.check, input: { x: '${ task.inptu }' } }"), "manifest.bad_expression"),
            (&STRICT.replace("type: string", "type: strnig"), "manifest.bad_schema"),
            (&format!("name: {}1{}\n", "[".repeat(2_000), "]".repeat(2_000)), "manifest.too_deep"),
        ];
        for (manifest, code) in table {
            let answer = api.try_apply(manifest).await?;
            let problem = answer.problem(422, "manifest.invalid")?;
            let diagnostics = problem["diagnostics"].as_array().context("diagnostics")?;
            let found = diagnostics.iter().find(|diagnostic| diagnostic["code"] == code);
            // An expression that names what does not exist has a code of its own, depending on what it names.
            let found = found.or_else(|| {
                diagnostics.first().filter(|first| {
                    code == "manifest.bad_expression" && first["code"].as_str().is_some_and(|code| code.starts_with("manifest.un"))
                })
            });
            let Some(found) = found else { anyhow::bail!("expected `{code}`: {diagnostics:#?}") };
            ensure!(found["line"].as_u64() > Some(0) && found["column"].as_u64() > Some(0), "`{code}` has no place: {found:#}");
            ensure!(found["message"].as_str().is_some_and(|message| !message.is_empty()), "`{code}` has no reason: {found:#}");
            for diagnostic in diagnostics {
                documented(diagnostic["code"].as_str().unwrap_or_default())?;
            }
        }
        let large = format!("{STRICT}# {}\n", "x".repeat(2 * 1024 * 1024));
        api.try_apply(&large).await?.problem(413, "request.too_large")?;
        let headers = [("content-type", "application/yaml")];
        let answer = api.request(Method::POST, "/v1/workflows", &headers, vec![0xff, 0xfe, 0x00, 0x80]).await?;
        ensure!(answer.status == 400 || answer.status == 422, "bytes that are not text: {answer:?}");
        // An alias that multiplies: a few lines that would be a gigabyte.
        let bomb: String = (0..9)
            .map(|n| format!("a{}: &a{} [{}]\n", n + 1, n + 1, vec![if n == 0 { "1".to_owned() } else { format!("*a{n}") }; 9].join(",")))
            .collect();
        let began = Instant::now();
        api.try_apply(&bomb).await?.problem(422, "manifest.invalid")?;
        ensure!(began.elapsed() < Duration::from_secs(5), "the aliases were written out");

        let listed = api.get("/v1/workflows").await?.ok()?;
        ensure!(listed["items"] == json!([]), "something was applied: {listed:#}");
        // The same version with other content is refused, the same content is not.
        api.apply(STRICT).await?;
        ensure!(api.apply(STRICT).await?["changed"] == false);
        api.try_apply(&STRICT.replace("maxLength: 10", "maxLength: 11")).await?.problem(409, "workflow.version_taken")?;
        coordinator.stop().await
    });
}

#[test]
fn a_request_that_is_not_acceptable_is_refused_and_creates_nothing() {
    on_stage(async |stage| {
        let mut coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(STRICT).await?;
        let deep = format!(r#"{{"workflow":"strict","input":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let large = format!(r#"{{"workflow":"strict","input":{{"order_id":"{}"}}}}"#, "x".repeat(3 * 1024 * 1024));
        // Within the limit of a body, above that of a payload.
        let heavy = format!(r#"{{"workflow":"strict","input":{{"order_id":"{}"}}}}"#, "x".repeat(1_000 * 1024));
        let many = json!({ "tasks": vec![json!({ "workflow": "strict", "input": {} }); 1_001] }).to_string();
        let table: [(&str, &str, &str, u16, &[&str]); 22] = [
            ("POST", "/v1/tasks", "{", 400, &["request.malformed", "input.not_json"]),
            ("POST", "/v1/tasks", "", 400, &["request.malformed", "input.not_json"]),
            ("POST", "/v1/tasks", "[]", 400, &["request.malformed"]),
            ("POST", "/v1/tasks", r#"{"input":{}}"#, 400, &["request.malformed"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strict","inptu":{}}"#, 400, &["request.unknown_field"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strict","workflow":"strict","input":{}}"#, 400, &["request.malformed"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strict","input":nope}"#, 400, &["request.malformed", "input.not_json"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strcit","input":{}}"#, 404, &["workflow.unknown"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strict","version":"9.9.9","input":{}}"#, 404, &["workflow.unknown"]),
            ("POST", "/v1/tasks", r#"{"workflow":"strict","input":{"order_id":7}}"#, 422, &["input.violated"]),
            ("POST", "/v1/tasks", &deep, 400, &["request.malformed", "input.not_json", "input.too_deep"]),
            ("POST", "/v1/tasks", &large, 413, &["request.too_large", "input.too_large"]),
            ("POST", "/v1/tasks", &heavy, 413, &["input.too_large"]),
            ("POST", "/v1/tasks:batch", &many, 400, &["limit.exceeded"]),
            ("GET", "/v1/tasks/nonsense", "", 400, &["task.id_malformed"]),
            ("GET", "/v1/tasks/tsk_1m7yj11v30000", "", 404, &["task.unknown"]),
            ("POST", "/v1/tasks/tsk_1m7yj11v30000:cancel", "{}", 404, &["task.unknown"]),
            ("GET", "/v1/systems/onyl", "", 404, &["system.unknown"]),
            ("GET", "/v1/capabilities/only/order.chekc", "", 404, &["capability.unknown"]),
            ("GET", "/v1/tasks?cursor=nonsense", "", 400, &["cursor.malformed"]),
            ("GET", "/v1/nothing", "", 404, &["route.unknown"]),
            ("DELETE", "/v1/tasks", "", 405, &["method.not_allowed"]),
        ];
        for (method, path, body, status, codes) in table {
            let headers = [("content-type", "application/json")];
            let answer = api.request(Method::from_bytes(method.as_bytes())?, path, &headers, body.as_bytes().to_vec()).await?;
            let shown = &body[..body.len().min(80)];
            let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
            ensure!(codes.contains(&code.as_str()), "{method} {path} {shown}: expected {status} {codes:?}, not {answer:?}");
            answer.problem(status, &code).with_context(|| format!("{method} {path} {shown}"))?;
            ensure!(answer.body["retryable"] == false && answer.body["outcome"] == "none", "{method} {path}: {answer:?}");
            documented(&code)?;
        }
        // A name that is almost right is named.
        let answer = api.post("/v1/tasks", &json!({ "workflow": "strcit", "input": {} })).await?;
        ensure!(answer.body.to_string().contains("`strict`"), "{answer:?}");
        // A key beyond its limit, and one with other content, whose first task stays.
        let long = "k".repeat(300);
        let answer = api.submit_with_key("strict", &json!({ "order_id": "a" }), &long).await?;
        ensure!(answer.status.as_u16() == 400, "{answer:?}");
        let first = api.submit_with_key("strict", &json!({ "order_id": "a" }), "k").await?.ok()?;
        api.submit_with_key("strict", &json!({ "order_id": "b" }), "k").await?.problem(422, "idempotency.key_reused")?;
        let id = first["id"].as_str().context("an id")?.to_owned();
        ensure!(api.task(&id).await?["input"] == json!({ "order_id": "a" }));
        // Of everything above, this is the only task.
        api.post(&format!("/v1/tasks/{id}:cancel"), &json!({})).await?.ok()?;
        coordinator.stop().await?;
        let said = coordinator.check(stage, &[id]).await?;
        ensure!(said.contains("1 tasks (1 cancelled)"), "{said}");
        Ok(())
    });
}

#[test]
fn a_batch_refuses_only_what_is_wrong_in_it() {
    on_stage(async |stage| {
        let coordinator = Setup::embedded(stage).start(stage).await?;
        let api = coordinator.api.clone();
        api.apply(STRICT).await?;
        let tasks = json!({ "tasks": [
            { "workflow": "strict", "input": { "order_id": "a" } },
            { "workflow": "unknown", "input": {} },
            { "workflow": "strict", "input": { "order_id": 1 } },
            { "workflow": "strict", "input": { "order_id": "b" } },
        ] });
        let answer = api.post("/v1/tasks:batch", &tasks).await?.ok()?;
        let codes: Vec<&Value> = (0..4).map(|place| &answer["items"][place]["problem"]["code"]).collect();
        ensure!(codes == [&Value::Null, &json!("workflow.unknown"), &json!("input.violated"), &Value::Null], "{answer:#}");
        Ok(())
    });
}

/// Starts `tasker` in a way that cannot succeed: it ends by itself, with exit code 1, and says what, where and what to do.
async fn cannot_start(stage: &Stage, arguments: &[String], environment: &[(&str, &str)], code: &str, says: &[&str]) -> Result<()> {
    let began = Instant::now();
    let mut process = stage.start("tasker that cannot start", &tasker(), arguments, environment)?;
    let status = process.ended(GIVE_UP_MAX).await.with_context(|| format!("expected `{code}` from `tasker {}`", arguments.join(" ")))?;
    process.read_to_end();
    // What it logged before is not what it says to people.
    let said: Vec<String> = process.log().lines().into_iter().filter(|line| !line.starts_with('{')).collect();
    let said = said.join("\n");
    ensure!(status.code() == Some(1), "expected exit code 1, not {status}, for `{code}`:\n{said}");
    for text in says.iter().copied().chain([format!("[{code}]").as_str()]) {
        ensure!(said.contains(text), "expected `{text}` for `{code}` after {:?}:\n{said}", began.elapsed());
    }
    ensure!(!said.contains("panicked") && !said.contains("pa55word"), "{said}");
    documented(code)
}

#[test]
fn a_coordinator_that_cannot_start_says_why_and_what_to_do() {
    on_stage(async |stage| {
        let running = Setup::embedded(stage).start(stage).await?;
        let fresh = || Setup::embedded(stage).database(format!("sqlite:{}", stage.path(&format!("other-{}.db", ports::free())).display()));

        // Ports that are taken.
        let http = Setup { http_port: running.setup().http_port, ..fresh() };
        let address = format!("127.0.0.1:{}", http.http_port);
        cannot_start(stage, &http.arguments(), &[], "http.port_in_use", &[&address, "--http-listen"]).await?;
        let bus = Setup { nats_port: running.setup().nats_port, ..fresh() };
        cannot_start(stage, &bus.arguments(), &[], "bus.port_in_use", &[&format!("127.0.0.1:{}", bus.nats_port)]).await?;
        let dev = ["dev", "--http-port", &running.setup().http_port.to_string(), "--nats-port", "0"].map(str::to_owned);
        cannot_start(stage, &dev, &[], "http.port_in_use", &["--http-port"]).await?;

        // A database that another coordinator uses, does not answer, is none, or cannot be written.
        let same = Setup { database_url: running.setup().database_url.clone(), ..fresh() };
        cannot_start(stage, &same.arguments(), &[], "database.in_use", &["tasker.db"]).await?;
        let nobody = ports::free();
        let gone = fresh().database(format!("postgres://tasker:pa55word@127.0.0.1:{nobody}/tasker"));
        cannot_start(stage, &gone.arguments(), &[], "database.unreachable", &[&format!("127.0.0.1:{nobody}")]).await?;
        cannot_start(stage, &fresh().database("mysql://x".into()).arguments(), &[], "database.url_malformed", &["sqlite:"]).await?;
        // A file where a directory is needed: nobody can write below it, not even root.
        std::fs::write(stage.path("file"), "")?;
        let below = stage.path("file/tasker.db").display().to_string();
        cannot_start(stage, &fresh().database(format!("sqlite:{below}")).arguments(), &[], "database.unwritable_directory", &["file"])
            .await?;
        let data = stage.path("file/data").display().to_string();
        let dev = ["dev", "--http-port", "0", "--nats-port", "0", "--data", &data].map(str::to_owned);
        cannot_start(stage, &dev, &[], "data.unwritable", &[&data]).await?;

        // A bus that does not answer, or is none.
        let silent = Setup { nats_url: Some(format!("nats://user:pa55word@127.0.0.1:{nobody}")), ..fresh() };
        cannot_start(stage, &silent.arguments(), &[], "bus.unreachable", &[&format!("127.0.0.1:{nobody}"), "--nats-url"]).await?;
        let odd = Setup { nats_url: Some("nats://not a url".into()), ..fresh() };
        cannot_start(stage, &odd.arguments(), &[], "bus.url_malformed", &["nats://HOST:PORT"]).await?;

        // Settings.
        let file = stage.path("tasker.toml");
        std::fs::write(&file, "databse_url = 'sqlite:x.db'\n")?;
        let config = ["server".to_owned(), "--config".to_owned(), file.display().to_string()];
        cannot_start(stage, &config, &[], "config.unknown_key", &["databse_url", "database_url", "tasker.toml"]).await?;
        cannot_start(stage, &["server".to_owned()], &[], "config.missing", &["database_url", "--database-url", "TASKER_DATABASE_URL"])
            .await?;
        cannot_start(stage, &fresh().arguments(), &[("TASKER_LEASE", "1s")], "config.out_of_range", &["lease", "heartbeat"]).await?;
        cannot_start(
            stage,
            &fresh().arguments(),
            &[("TASKER_HEARTBEAT", "often")],
            "config.malformed",
            &["heartbeat", "often", "TASKER_HEARTBEAT"],
        )
        .await?;

        // None of it has disturbed the one that runs.
        ensure!(running.api.is_ready().await, "the first coordinator is no longer ready");
        Ok(())
    });
}

#[test]
fn two_coordinators_never_own_one_postgres_database() {
    on_stage(async |stage| {
        let cluster = Cluster::shared().await?;
        let url = cluster.create_database().await?;
        let mut first = Setup::embedded(stage).database(url.clone()).start(stage).await?;
        let second = Setup::embedded(stage).database(url);
        cannot_start(stage, &second.arguments(), &[], "database.in_use", &["another coordinator"]).await?;
        first.stop().await?;
        // Once the first is gone, even without a word, the database is free.
        let mut second = second.start(stage).await?;
        second.process.kill()?;
        let began = Instant::now();
        first.start_again(stage).await?;
        ensure!(began.elapsed() < SOON / 2, "a dead coordinator kept the database for {:?}", began.elapsed());
        Ok(())
    });
}
