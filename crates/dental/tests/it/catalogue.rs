//! The catalogue of procedures: shipped, changed, brought in a file.

use clinicx_dental::{
    DentalError,
    procedure_code::{
        self, Category, ImportProcedureCodes, ImportedProcedureCodes, Origin, ProcedureCodeFilter,
    },
};
use clinicx_types::{error::DomainError, page::PageRequest};
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

async fn import(practice: &Practice, csv: &str) -> Result<ImportedProcedureCodes, DentalError> {
    let input = ImportProcedureCodes { csv: csv.to_owned() };
    practice.write(async |tx| procedure_code::import(tx, &practice.scope, input).await).await
}

async fn find(practice: &Practice, q: &str) -> Vec<procedure_code::ProcedureCode> {
    let filter = ProcedureCodeFilter { q: Some(q.to_owned()), ..ProcedureCodeFilter::default() };
    let page = PageRequest::first(200).unwrap();
    procedure_code::list(&practice.tenant.connection, &practice.scope, &filter, &page).await.unwrap().items
}

#[tokio::test]
async fn a_catalogue_is_shipped_without_prices() {
    let practice = Practice::open().await;
    let page = PageRequest::first(200).unwrap();
    let db = &practice.tenant.connection;
    let all =
        procedure_code::list(db, &practice.scope, &ProcedureCodeFilter::default(), &page).await.unwrap();
    assert!(all.items.len() > 40);
    for one in &all.items {
        assert_eq!((one.origin, one.price.as_deref(), one.active), (Origin::Shipped, None, true));
        assert!(one.names.contains_key("ar") && one.names.contains_key("de"), "{}", one.code);
        assert_eq!(one.id.uuid().get_version_num(), 7);
    }
    assert_eq!(find(&practice, "extraction").await.len(), 3);
    assert!(find(&practice, "%").await.is_empty());
    let filter = ProcedureCodeFilter { category: Some(Category::Implant), ..ProcedureCodeFilter::default() };
    assert_eq!(procedure_code::list(db, &practice.scope, &filter, &page).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_clinic_adds_procedures_of_its_own() {
    let practice = Practice::open().await;
    let create = async |body: serde_json::Value| {
        let input = serde_json::from_value(body).unwrap();
        practice.write(async |tx| procedure_code::create(tx, &practice.scope, input).await).await
    };
    let made =
        create(json!({"code": "x-1", "name": "Gold inlay", "price": "350", "tax_rate": "7"})).await.unwrap();
    assert_eq!(
        (made.code.as_str(), made.origin, made.price.as_deref()),
        ("X-1", Origin::Own, Some("350.00"))
    );
    assert_eq!(code(create(json!({"code": "X-1", "name": "Again"})).await), "code_taken");
    assert_eq!(wrong_field(create(json!({"code": "a b", "name": "x"})).await).1, "malformed_code");
    let patch = serde_json::from_value(json!({"active": false})).unwrap();
    practice
        .write(async |tx| procedure_code::update(tx, &practice.scope, made.id, Some(1), patch).await)
        .await
        .unwrap();
    let planned = practice.plan(json!({"procedure_code": "X-1", "tooth": "36"})).await;
    assert_eq!(wrong_field(planned), ("/procedure_code".into(), "inactive".into()));
}

#[tokio::test]
async fn a_file_is_taken_over_whole_or_not_at_all() {
    let practice = Practice::open().await;
    let csv = "code,name,category,area,price,tax_rate\n\
               N1,\"Filling, two surfaces\",restorative,surface,80.50,20\n\
               re01,Composite,restorative,surface,70,0\n\
               EX01,Examination,diagnostic,mouth,,0\n";
    let done = import(&practice, csv).await.unwrap();
    assert_eq!(done, ImportedProcedureCodes { created: 1, updated: 1, unchanged: 1 });
    let made = find(&practice, "n1").await.remove(0);
    let shown = (made.name.as_str(), made.price.as_deref(), made.origin);
    assert_eq!(shown, ("Filling, two surfaces", Some("80.50"), Origin::Imported));
    let changed = find(&practice, "re01").await.remove(0);
    assert_eq!((changed.version, changed.price.as_deref(), changed.names.len()), (2, Some("70.00"), 2));
    let again = import(&practice, csv).await.unwrap();
    assert_eq!(again, ImportedProcedureCodes { created: 0, updated: 0, unchanged: 3 });

    let wrong =
        "code,name,price,tax_rate\nN2,Fine,1.00,0\nN3,Bad,1.001,0\nN4,Bad,1,200\nN5,,1,0\nN5,Twice,1,0\n";
    let error = import(&practice, wrong).await.unwrap_err();
    let found: Vec<_> = error.fields().into_iter().map(|field| (field.pointer, field.code)).collect();
    let expected = [
        ("/csv/3/price", "too_precise"),
        ("/csv/4/tax_rate", "malformed_percentage"),
        ("/csv/5/name", "blank"),
        ("/csv/6/code", "duplicate"),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    assert!(find(&practice, "n2").await.is_empty());
}

#[tokio::test]
async fn every_wrong_field_of_every_line_is_told_at_once() {
    let practice = Practice::open().await;
    let check = async |csv: &str, expected: &[(&str, &str)]| {
        let error = import(&practice, csv).await.unwrap_err();
        let found: Vec<_> = error.fields().into_iter().map(|field| (field.pointer, field.code)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect();
        assert_eq!(found, expected, "{csv}");
    };
    let csv =
        "code,name,price,tax_rate\nF1,Fine,1.00,0\nA B,Code,1,0\nF2,Comma,\"12,50\",0\nF3,Both,1e3,200\n";
    check(
        csv,
        &[
            ("/csv/3/code", "malformed_code"),
            ("/csv/4/price", "malformed_amount"),
            ("/csv/5/price", "malformed_amount"),
            ("/csv/5/tax_rate", "malformed_percentage"),
        ],
    )
    .await;
    // Of a code that is there already, and where the currency decides about the decimals.
    let csv = "code,name,category,price,currency\nRE01,Composite,magic,x,EURO\nF4,Dinar,other,1.234,XXXX\nF5,Yen,other,1.5,JPY\n";
    check(
        csv,
        &[
            ("/csv/2/category", "unknown_value"),
            ("/csv/2/currency", "unknown_currency"),
            ("/csv/2/price", "malformed_amount"),
            ("/csv/3/currency", "unknown_currency"),
            ("/csv/4/price", "too_precise"),
        ],
    )
    .await;
    assert!(find(&practice, "f1").await.is_empty());
    let both = json!({"code": "F6", "name": "Both", "price": "x", "tax_rate": "x"});
    let input = serde_json::from_value(both).unwrap();
    let refused = practice.write(async |tx| procedure_code::create(tx, &practice.scope, input).await).await;
    assert_eq!(refused.unwrap_err().fields().len(), 2);
}
