//! The API reference in Markdown, generated from the CRDs.

use std::fmt::{self, Write};

use flashgate_api::definitions::Crd;
use serde_json::Value;

/// Returns the API reference of all kinds.
///
/// # Errors
/// Never returns an error, because writing to a string does not fail.
pub fn markdown(crds: &[Crd]) -> Result<String, fmt::Error> {
    let mut page = String::from(
        "# API reference\n\nGenerated from the custom resource definitions by `make generate`; do not edit. \
         Group `billing.flashgate.dev`, version `v1alpha1`; every kind is namespaced and in the category \
         `flashgate` (`kubectl get flashgate`).\n\n",
    );
    for crd in crds {
        writeln!(page, "- [{}](#{})", crd.kind, crd.kind.to_lowercase())?;
    }
    for crd in crds {
        write_kind(&mut page, crd)?;
    }
    Ok(page)
}

/// Writes the section of one kind.
fn write_kind(page: &mut String, crd: &Crd) -> fmt::Result {
    let names = &crd.definition["spec"]["names"];
    let version = &crd.definition["spec"]["versions"][0];
    writeln!(page, "\n## {}\n\n{}\n", crd.kind, text(&crd.schema()["description"]))?;
    writeln!(
        page,
        "`kubectl get {}`, short `{}`.",
        crd.plural,
        list(&names["shortNames"], |name| text(name).to_owned())
    )?;
    let selectable = list(&version["selectableFields"], |field| format!("`{}`", text(&field["jsonPath"])));
    if !selectable.is_empty() {
        writeln!(page, "Field selectors: {selectable}.")?;
    }
    writeln!(page, "\n| column | shows |\n|---|---|")?;
    for column in items(&version["additionalPrinterColumns"]) {
        let wide = if column["priority"].as_i64().unwrap_or(0) > 0 { " (`-o wide`)" } else { "" };
        writeln!(
            page,
            "| {}{wide} | {} |",
            text(&column["name"]).to_uppercase(),
            text(&column["description"])
        )?;
    }
    writeln!(page, "\n| field | type | meaning |\n|---|---|---|")?;
    for section in ["spec", "status"] {
        if let Some(schema) = crd.schema()["properties"].get(section) {
            write_field(page, section, schema, crd.schema())?;
        }
    }
    Ok(())
}

/// Writes the row of one field and the rows of the fields below it.
fn write_field(page: &mut String, path: &str, schema: &Value, parent: &Value) -> fmt::Result {
    let name = path.rsplit('.').next().unwrap_or(path);
    let required = items(&parent["required"]).any(|required| required == name);
    let meaning = text(&schema["description"]).replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|");
    let mut notes = bounds(schema);
    if required {
        notes.insert(0, "required".to_owned());
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" *({})*", notes.join("; ")) };
    writeln!(page, "| `{path}` | {} | {meaning}{notes} |", kind_of(schema))?;
    let (below, suffix) = match schema.get("items") {
        Some(item) => (item, "[]"),
        None => (schema, ""),
    };
    if let Some(properties) = below["properties"].as_object() {
        for (name, child) in properties {
            write_field(page, &format!("{path}{suffix}.{name}"), child, below)?;
        }
    }
    Ok(())
}

/// Returns the name of a field's type for users.
fn kind_of(schema: &Value) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    match (text(&schema["type"]), text(&schema["format"])) {
        ("string", "date-time") => "time".to_owned(),
        ("array", _) => format!("list of {}", kind_of(&schema["items"])),
        ("object", _) if schema.get("additionalProperties").is_some() => {
            format!("map to {}", kind_of(&schema["additionalProperties"]))
        }
        (kind, _) => kind.to_owned(),
    }
}

/// Returns the constraints of a value as text.
fn bounds(schema: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    if schema.get("enum").is_some() {
        notes.push(format!("one of {}", list(&schema["enum"], |name| format!("`{}`", text(name)))));
    } else if let Some(most) = schema["maxLength"].as_u64().filter(|_| text(&schema["format"]) != "date-time")
    {
        notes.push(format!("at most {most} characters"));
    }
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => notes.push(format!("{least} to {most}")),
        (Some(least), None) => notes.push(format!("at least {least}")),
        _ => {}
    }
    if let Some(most) = schema["maxItems"].as_u64().or_else(|| schema["maxProperties"].as_u64()) {
        notes.push(format!("at most {most}"));
    }
    if let Some(default) = schema.get("default").filter(|default| default.is_string()) {
        notes.push(format!("default `{}`", text(default)));
    }
    notes.extend(
        items(&schema["x-kubernetes-validations"]).map(|rule| text(&rule["message"]).replace('|', "\\|")),
    );
    notes
}

/// Returns the items of a list, or none if there is no list.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns the items of a list as one text.
fn list(value: &Value, show: impl Fn(&Value) -> String) -> String {
    items(value).map(show).collect::<Vec<_>>().join(", ")
}

/// Returns a text, or an empty text if there is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
