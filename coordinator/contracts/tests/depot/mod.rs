//! A system whose contracts have everything that is hard to say in some language.

use serde_json::json;
use std::time::Duration;
use tasker_contracts::{Capability, System};
use tasker_engine::Contract;

pub fn system() -> System {
    let node = json!({
        "description": "One stop of a tour.",
        "type": "object",
        "required": ["place"],
        "properties": {
            "place": { "type": "string" },
            "next": { "$ref": "#/$defs/stop" },
            "others": { "type": "array", "items": { "$ref": "#/$defs/stop" } },
        },
    });
    let capability = |name: &str, description: &str, timeout, contract| Capability {
        name: name.to_owned(),
        description: description.to_owned(),
        timeout,
        contract: Contract::from_json(&contract).expect("a contract"),
    };
    System {
        name: "parcel-depot".to_owned(),
        base_url: Some("https://depot.example.com".to_owned()),
        capabilities: vec![
            capability(
                "parcel.accept",
                "Takes a parcel in. Never end a comment with */ or \"\"\".\n\nAsking again gives the same parcel.",
                Some(Duration::from_secs(10)),
                json!({
                    "input": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["type", "order-id", "weight", "lines", "note", "status"],
                        "properties": {
                            "type": { "type": "string", "enum": ["small", "2-man", "", "größe", "Self", "small!"] },
                            "order-id": { "description": "The shop's number.", "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Z]\\d+$" },
                            "order_id": { "type": "integer" },
                            "weight": { "type": "number", "exclusiveMinimum": 0, "maximum": 31.5 },
                            "lines": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "required": ["sku", "quantity"],
                                    "properties": { "sku": { "type": "string" }, "quantity": { "type": "integer", "minimum": 1 } },
                                },
                            },
                            "note": { "type": ["string", "null"], "maxLength": 200 },
                            "remark": { "type": ["string", "null"] },
                            "deliver_on": { "type": "string", "format": "date" },
                            "status": { "const": "open" },
                            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                            "size": { "anyOf": [
                                { "type": "string" },
                                { "type": "object", "required": ["height"], "properties": { "height": { "type": "number" } } },
                                { "type": "null" },
                            ] },
                            "priority": { "enum": [1, 2, "express", null] },
                            "2nd_try": { "type": "boolean" },
                            "model_year": { "type": "integer" },
                            "schema": {},
                            "__proto__": { "type": "string" },
                            "größe": { "type": "integer" },
                        },
                    },
                    "result": {
                        "type": "object",
                        "required": ["parcel", "taken_at", "shelf"],
                        "properties": {
                            "parcel": { "type": "string", "format": "uuid" },
                            "taken_at": { "type": "string", "format": "date-time" },
                            "shelf": { "type": ["integer", "null"] },
                            "neighbours": { "type": "array", "uniqueItems": true, "items": { "type": ["string", "integer"] } },
                        },
                    },
                    "errors": {
                        "too_heavy": {
                            "description": "More than a person may carry.",
                            "details": { "type": "object", "required": ["limit"], "properties": { "limit": { "type": "number" } } },
                        },
                        "depot.closed": { "description": "", "details": null },
                    },
                }),
            ),
            capability(
                "tour.plan",
                "",
                None,
                json!({
                    "input": { "$ref": "#/$defs/stop", "$defs": { "stop": node } },
                    "result": { "type": "array", "items": { "type": "string" } },
                    "errors": {},
                }),
            ),
            capability("tour-plan", "Another name that looks the same.", None, json!({ "input": null, "result": null, "errors": {} })),
            capability(
                "worker",
                "A keyword for a name.",
                None,
                json!({
                    "input": { "allOf": [
                        { "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } },
                        { "$ref": "#/$defs/rest" },
                    ], "$defs": { "rest": { "properties": { "b": { "type": ["boolean", "null"] } } } } },
                    "result": { "type": "null" },
                    "errors": {},
                }),
            ),
        ],
    }
}
