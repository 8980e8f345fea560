//! Another tenant's ids answer as ids that do not exist, also when they are the same.

use clinicx_dental::{
    chart::{self, ChartView},
    treatment,
    treatment::Action,
};
use serde_json::json;

use crate::practice::{Practice, code};

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let practice = Practice::open().await;
    let planned = practice.plan(json!({"procedure_code": "SU01", "tooth": "36"})).await.unwrap();
    let other = Practice::of(practice.tenant.another().await).await;
    let db = &other.tenant.connection;
    let cipher = &other.tenant.cipher;
    assert_eq!(code(treatment::get(db, &other.scope, cipher, planned.id).await), "not_found");
    assert_eq!(code(other.act(&planned, Action::Start).await), "not_found");
    let chart = chart::get(db, &other.scope, practice.patient, ChartView::default()).await;
    assert_eq!(code(chart), "not_found");
    let own = other.chart().await;
    assert!(!own.charted && own.version == 0);
    assert_eq!(practice.treatment(&planned).await, planned);
}
