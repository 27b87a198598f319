//! The OpenAPI 3.1 description of the control API, made from the table of its operations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Live;
use super::rig::{Answers, Operation, Takes, operations};

const DESCRIPTION: &str = "What the simulated people of a callrig server do, who there is, and \
                           what happens. The calls and online meetings API itself is \
                           Microsoft Graph's and described there.";

/// `GET /rig`
pub async fn index(State(live): State<Arc<Live>>) -> Json<Value> {
    let places: Vec<Value> = operations()
        .iter()
        .map(|operation| {
            json!({
                "method": operation.method.as_str(),
                "path": shown(operation.path),
                "does": operation.summary,
            })
        })
        .collect();
    Json(json!({
        "callrig": env!("CARGO_PKG_VERSION"),
        "base": live.base_url,
        "shards": live.shards.len(),
        "description": "/rig/openapi.json",
        "operations": places,
    }))
}

/// `GET /rig/openapi.json`
pub async fn description(State(live): State<Arc<Live>>) -> Json<Value> {
    Json(describe(&live.base_url))
}

/// The whole description, for a server at this address.
#[must_use]
pub fn describe(base_url: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations() {
        let place = paths.entry(shown(operation.path)).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        place[method] = operation_value(&operation, &mut generator);
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.insert(
        "Problem".to_owned(),
        json!({
            "type": "object",
            "required": ["error"],
            "properties": { "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": { "type": "string" },
                    "message": { "type": "string", "description": "For people." },
                },
            }},
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "callrig control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": base_url }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "`rig.token` of the settings, where one is set.",
            }},
        },
    })
}

fn operation_value(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = in_path(operation.path)
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    parameters.extend(operation.query.iter().map(|(name, meaning)| {
        json!({
            "name": name, "in": "query", "description": meaning,
            "schema": { "type": "integer", "minimum": 0 },
        })
    }));
    let mut value = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation, generator),
    });
    match &operation.takes {
        Takes::Nothing => {}
        Takes::Json(schema) => {
            let schema = schema(generator);
            value["requestBody"] =
                json!({ "content": { "application/json": { "schema": schema } } });
        }
        Takes::File => {
            value["requestBody"] = json!({
                "required": true,
                "content": { "application/octet-stream": {} },
            });
        }
    }
    value
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let problem = |words: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        json!({ "description": words, "content": { "application/json": { "schema": schema } } })
    };
    let mut responses = json!({ "default": problem("It is refused, or cannot be done.") });
    match &operation.answers {
        Answers::Empty => responses["2XX"] = json!({ "description": "Done, or being done." }),
        Answers::Json(status, schema) => {
            let schema = schema(generator);
            responses[status.as_str()] = json!({
                "description": "What it says.",
                "content": { "application/json": { "schema": schema } },
            });
        }
        Answers::Other(kind) => {
            let content = Map::from_iter([((*kind).to_owned(), json!({}))]);
            responses["200"] = json!({ "description": "What it says.", "content": content });
        }
    }
    responses
}

/// A path as OpenAPI writes it, which knows no rest of a path.
fn shown(path: &str) -> String {
    path.replace("{*", "{")
}

fn in_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('{')
        .skip(1)
        .filter_map(|part| part.split('}').next().map(|name| name.trim_start_matches('*')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_and_every_reference_leads_somewhere() {
        let described = describe("http://localhost");
        for operation in operations() {
            let method = operation.method.as_str().to_ascii_lowercase();
            let found = &described["paths"][shown(operation.path)][&method];
            assert_eq!(found["operationId"], operation.id, "{} {}", method, operation.path);
            let named: Vec<_> = in_path(operation.path).collect();
            let parameters = found["parameters"].as_array().expect("there are some or none");
            let in_path = parameters.iter().filter(|one| one["in"] == "path");
            assert_eq!(in_path.count(), named.len(), "{}", operation.path);
        }
        let text = described.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().expect("it ends");
            assert!(described.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
