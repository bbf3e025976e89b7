//! CEL rules, compiled once and evaluated only for fields that have rules.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use flashgate_api::stated_time;
use jiff::Timestamp;
use kube_cel::KubeCelExt;
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, ParseErrors, Program, Value as CelValue};
use regex::Regex;
use serde_json::Value;

use super::AdmissionError;
use super::bounds::{join, shown};

/// Why a rule cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("'{rule}' is not a rule")]
pub struct RuleError {
    /// The rule.
    rule: String,
    /// Cause.
    source: Box<ParseErrors>,
}

/// The functions that rules may call.
pub(super) struct Evaluator(Context<'static>);

/// A node of a schema that has rules, itself or below.
pub(super) struct RuleTree {
    schema: Value,
    rules: Vec<Rule>,
    properties: Vec<(String, RuleTree)>,
    items: Option<Box<RuleTree>>,
    values: Option<Box<RuleTree>>,
}

/// One rule of a node.
struct Rule {
    program: Program,
    message: String,
    field_path: String,
    is_transition: bool,
}

impl Default for Evaluator {
    /// Returns the functions of the API server. It adds conversions that the CEL library lacks: `type()` of
    /// integers and texts, and times to and from seconds.
    fn default() -> Self {
        let mut context = Context::default().with_all();
        for name in ["int", "string"] {
            context.add_variable_from_value(name, CelValue::String(Arc::new(name.to_owned())));
        }
        context.add_function("type", |value: CelValue| value.type_of().to_string());
        context.add_function("matches", matcher());
        context.add_function("isQuantity", |text: Arc<String>| is_comparable(&text));
        context.add_function("int", seconds);
        context.add_function("timestamp", timestamp);
        Self(context)
    }
}

/// Returns the function `matches` with a cache of compiled expressions. The library compiles them on every
/// call.
fn matcher() -> impl Fn(This<Arc<String>>, Arc<String>) -> Result<bool, ExecutionError> {
    let compiled = Mutex::new(HashMap::<Arc<String>, Regex>::new());
    move |This(text), pattern| {
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let expression = match compiled.entry(Arc::clone(&pattern)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let expression = Regex::new(&pattern)
                    .map_err(|error| ExecutionError::function_error("matches", error.to_string()))?;
                place.insert(expression)
            }
        };
        Ok(expression.is_match(&text))
    }
}

/// Returns whether a text is a quantity that the CEL library compares without overflow.
///
/// The library multiplies by powers of ten without an overflow check. A refused text either has more digits
/// than the pattern of the CRDs allows, or exceeds every limit of the CRDs. The smallest refused number is
/// 10^-9 times 10^25, which is above 10^15.
fn is_comparable(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let (whole, rest) = unsigned.split_at(digits(unsigned));
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), |rest| rest.split_at(digits(rest)));
    if whole.len() > 16 || fraction.len() > 9 || whole.len() + fraction.len() == 0 {
        return false;
    }
    let whole_digits = i16::try_from(whole.trim_start_matches('0').len()).unwrap_or(i16::MAX);
    let is_zero = whole.bytes().chain(fraction.bytes()).all(|digit| digit == b'0');
    let exponent = suffix.strip_prefix(['e', 'E']).filter(|exponent| !matches!(*exponent, "" | "i"));
    exponent.is_none_or(|exponent| match exponent.parse::<i16>() {
        Ok(power) if is_zero => (-9..=99).contains(&power),
        Ok(power) => (-9..=24).contains(&power) && whole_digits + power <= 38,
        Err(_) => false,
    })
}

/// Returns the seconds from 1970 to a time. Returns integers unchanged.
fn seconds(value: CelValue) -> Result<CelValue, ExecutionError> {
    match value {
        CelValue::Timestamp(time) => Ok(CelValue::Int(time.timestamp())),
        CelValue::Int(_) => Ok(value),
        other => Err(ExecutionError::function_error("int", format!("cannot convert {}", other.type_of()))),
    }
}

/// Returns the time of a text, or of a number of seconds after 1970.
fn timestamp(value: CelValue) -> Result<CelValue, ExecutionError> {
    let refused = || ExecutionError::function_error("timestamp", "not a time");
    let text = match value {
        CelValue::String(text) => text.to_string(),
        CelValue::Int(second) => Timestamp::from_second(second).map_err(|_| refused())?.to_string(),
        _ => return Err(refused()),
    };
    instant(&text).ok_or_else(refused)
}

/// Returns a time as a CEL value.
fn instant(text: &str) -> Option<CelValue> {
    stated_time::parse(text)?.to_string().parse().ok().map(CelValue::Timestamp)
}

impl RuleTree {
    /// Compiles the rules of `schema` and below. Returns `None` if there are none.
    pub(super) fn new(schema: &Value) -> Result<Option<Self>, RuleError> {
        let stated = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        let rules = stated.map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let mut properties = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(tree) = Self::new(property)? {
                properties.push((name.clone(), tree));
            }
        }
        let items = Self::below(schema, "items")?;
        let values = Self::below(schema, "additionalProperties")?;
        let bears_none = rules.is_empty() && properties.is_empty() && items.is_none() && values.is_none();
        Ok((!bears_none).then(|| Self { schema: schema.clone(), rules, properties, items, values }))
    }

    /// Compiles the schema below one keyword.
    fn below(schema: &Value, keyword: &str) -> Result<Option<Box<Self>>, RuleError> {
        schema.get(keyword).map_or(Ok(None), |below| Ok(Self::new(below)?.map(Box::new)))
    }

    /// Adds an error for each rule that `value` breaks, as an update of `old` if there is one.
    pub(super) fn evaluate(
        &self,
        evaluator: &Evaluator,
        value: &Value,
        old: Option<&Value>,
        errors: &mut Vec<AdmissionError>,
    ) {
        self.evaluate_at(evaluator, "", value, old, errors);
    }

    /// Evaluates the rules of this node, whose path is `path`, and below.
    fn evaluate_at(
        &self,
        evaluator: &Evaluator,
        path: &str,
        value: &Value,
        old: Option<&Value>,
        errors: &mut Vec<AdmissionError>,
    ) {
        self.evaluate_rules(evaluator, path, value, old, errors);
        for (name, tree) in &self.properties {
            if let Some(child) = value.get(name) {
                let old_child = old.and_then(|old| old.get(name));
                tree.evaluate_at(evaluator, &join(path, name), child, old_child, errors);
            }
        }
        if let Some(tree) = &self.items {
            // The lists of the CRDs are `atomic`: their items have no identity, so there is no old value.
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                tree.evaluate_at(evaluator, &format!("{path}[{index}]"), item, None, errors);
            }
        }
        if let Some(tree) = &self.values {
            for (name, child) in value.as_object().into_iter().flatten() {
                let old_child = old.and_then(|old| old.get(name));
                tree.evaluate_at(evaluator, &join(path, name), child, old_child, errors);
            }
        }
    }

    /// Evaluates the rules of this node, not those below.
    fn evaluate_rules(
        &self,
        evaluator: &Evaluator,
        path: &str,
        value: &Value,
        old: Option<&Value>,
        errors: &mut Vec<AdmissionError>,
    ) {
        let mut due = self.rules.iter().filter(|rule| old.is_some() || !rule.is_transition).peekable();
        if due.peek().is_none() {
            return;
        }
        let mut scope = evaluator.0.new_inner_scope();
        scope.add_variable_from_value("self", converted(value, &self.schema));
        if let Some(old) = old {
            scope.add_variable_from_value("oldSelf", converted(old, &self.schema));
        }
        for rule in due {
            let field = format!("{path}{}", rule.field_path);
            match rule.program.execute(&scope) {
                Ok(CelValue::Bool(true)) => {}
                Ok(_) => {
                    errors.push(AdmissionError::new(
                        field,
                        format!("Invalid value: {}: {}", shown(value), rule.message),
                    ));
                }
                Err(error) => errors.push(AdmissionError::new(field, format!("{} ({error})", rule.message))),
            }
        }
    }
}

impl Rule {
    fn new(stated: &Value) -> Result<Self, RuleError> {
        let text = |keyword: &str| stated[keyword].as_str().unwrap_or_default().to_owned();
        let program = Program::compile(&text("rule"))
            .map_err(|source| RuleError { rule: text("rule"), source: Box::new(source) })?;
        let is_transition = program.references().has_variable("oldSelf");
        Ok(Self { program, message: text("message"), field_path: text("fieldPath"), is_transition })
    }
}

/// Returns a value as a CEL value. `schema` distinguishes times from texts.
fn converted(value: &Value, schema: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => number.as_i64().map_or(CelValue::Null, CelValue::Int),
        Value::String(text) if schema["format"] == "date-time" => {
            instant(text).unwrap_or_else(|| CelValue::String(Arc::new(text.clone())))
        }
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => {
            CelValue::List(Arc::new(items.iter().map(|item| converted(item, &schema["items"])).collect()))
        }
        Value::Object(fields) => {
            let convert = |(name, field): (&String, &Value)| {
                let below = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                (Key::String(Arc::new(name.clone())), converted(field, below))
            };
            CelValue::Map(Map { map: Arc::new(fields.iter().map(convert).collect::<HashMap<_, _>>()) })
        }
    }
}
