//! The values that are looked for, and how.

use serde_json::{Value, json};

/// Words and numbers that are in no program text, configuration or answer unless somebody put them there.
pub(super) const NAME: &str = "Kanarienvogelmann";
pub(super) const GIVEN: &str = "Zwitscherhild";
pub(super) const NOTES: &str = "Schwermutkanarie";
pub(super) const COMMENT: &str = "Kanarienkommentar";
pub(super) const REASON: &str = "Kanarienabsagegrund";
pub(super) const STREET: &str = "Kanarienstieg";
pub(super) const IDENTIFIER: &str = "KVNR-X918273645";
pub(super) const PHONE: &str = "+493018472955";
pub(super) const EMAIL: &str = "kanarie.post@zwitscher.example";
pub(super) const BORN: &str = "1917-03-29";
pub(super) const PASSWORD: &str = "kanarien singen laut um vier";
pub(super) const WRONG_PASSWORD: &str = "kanarien schweigen um sechs";
pub(super) const BAD: &str = "Kanarienunsinn";
/// Logged on purpose, to see that it is found.
pub(super) const CONTROL: &str = "Kontrollkanarie";

/// Everything that must be found nowhere, in every form that a program might give it.
pub(super) struct Canaries(Vec<String>);

impl Canaries {
    pub(super) fn new() -> Self {
        let words = [
            NAME,
            GIVEN,
            NOTES,
            COMMENT,
            REASON,
            STREET,
            IDENTIFIER,
            EMAIL,
            BORN,
            PASSWORD,
            WRONG_PASSWORD,
            BAD,
        ];
        let mut this = Self(Vec::new());
        words.into_iter().for_each(|word| this.add(word));
        // A number without its prefix, whatever stands between.
        this.add("18472955");
        this
    }

    /// Adds a value, which may be a token.
    pub(super) fn add(&mut self, word: &str) {
        let hex = word.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let encoded: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
        let bytes = format!("{:?}", word.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']).to_owned();
        for form in [word.to_lowercase(), hex, encoded.to_lowercase(), bytes] {
            if !self.0.contains(&form) {
                self.0.push(form);
            }
        }
    }

    /// Returns what of it stands in a text, with its surroundings.
    pub(super) fn find(&self, text: &str) -> Vec<String> {
        let text = text.to_lowercase();
        let around = |at: usize, length: usize| {
            let bytes = &text.as_bytes()[at.saturating_sub(160)..(at + length + 80).min(text.len())];
            String::from_utf8_lossy(bytes).into_owned()
        };
        let hit = |word: &String| {
            text.find(word.as_str()).map(|at| format!("{word}: …{}…", around(at, word.len())))
        };
        self.0.iter().filter_map(hit).collect()
    }
}

/// A patient with a canary wherever there is room for one.
pub(super) fn patient() -> Value {
    json!({
        "family_name": NAME, "given_name": GIVEN, "middle_name": NAME, "usual_name": GIVEN, "birth_date": BORN,
        "notes": NOTES, "phones": [{"value": PHONE}], "emails": [{"value": EMAIL}],
        "identifiers": [{"system": "urn:kvnr", "value": IDENTIFIER}],
        "addresses": [{"line1": STREET, "city": STREET, "postal_code": "10115", "country": "DE"}],
        "emergency_contacts": [{"name": NAME, "relationship": "mother", "phone": PHONE}],
    })
}

/// Fits a schema of the API document, with canaries for its texts; `valid` texts, or nonsense ones.
pub(super) fn body(document: &Value, schema: &Value, depth: usize) -> Value {
    let resolved = schema.get("$ref").and_then(Value::as_str).map(|reference| {
        document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"))
    });
    let schema = resolved.unwrap_or(schema);
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(Value::as_array).and_then(|all| all.first()) {
            return body(document, first, depth);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "object" if depth < 5 => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            properties
                .iter()
                .map(|(name, schema)| (name.clone(), body(document, schema, depth + 1)))
                .collect()
        }
        "array" => json!([body(document, &schema["items"], depth + 1)]),
        "integer" | "number" => json!(18_472_955),
        "boolean" => json!(true),
        _ => json!(format!("{BAD} {NAME}")),
    }
}
