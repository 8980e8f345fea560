//! Configurations and feature flags, without HTTP.

use std::time::{Duration, Instant};

use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::{
    Configurations, FeatureFlags, Tenancy, TenancyError,
    configuration::{self, MAINTENANCE_MESSAGE, MAINTENANCE_RETRY_AFTER, service::NewValue},
    feature_flag::{self, service::NewFlag},
};
use clinicx_testing::{TestDatabase, database};
use clinicx_types::{
    module::ModuleFacts,
    page::PageRequest,
    setting::{Configuration, FeatureFlag, Integer},
};
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::{Value, json};

use crate::{by, new_tenant, slug};

const FLAG: FeatureFlag = FeatureFlag { key: "test.flag", description: "A flag", enabled: false };
const CHAIRS: Configuration<Integer> = Configuration {
    key: "test.chairs",
    description: "How many chairs",
    kind: Integer { default: 4, min: 1, max: 9 },
};
const FACTS: ModuleFacts =
    ModuleFacts { permissions: &[], events: &[], flags: &[FLAG], configurations: &[&CHAIRS] };

/// A database of its own, because what is set there is set for everybody.
async fn tenancy() -> Tenancy {
    TestDatabase::create().await.tenancy(database::modules(&[("core", FACTS)])).await
}

fn value(value: Value) -> NewValue {
    NewValue { value, description: None }
}

fn flag(enabled: bool, rollout_percent: i16) -> NewFlag {
    NewFlag { enabled, rollout_percent, description: None }
}

#[derive(Debug, FromQueryResult)]
struct Row {
    action: String,
    tenant: Option<String>,
    before: Value,
    after: Value,
}

/// What the audit says about settings, oldest first.
async fn audited(tenancy: &Tenancy) -> Vec<Row> {
    let question = raw_sql!(
        Postgres,
        r#"SELECT action, CAST(tenant_id AS text) AS tenant, before, after
           FROM public.audit_logs
           WHERE entity IN ('configuration', 'feature_flag')
           ORDER BY recorded_at"#
    );
    tenancy.control().query_all(question).await.unwrap()
}

#[tokio::test]
async fn a_configuration_is_typed_versioned_and_audited() {
    let tenancy = tenancy().await;
    let reader = Configurations::new(tenancy.app().clone());
    assert_eq!(reader.get(&CHAIRS).await, 4);
    let fresh = configuration::service::get(tenancy.app(), tenancy.modules(), CHAIRS.key).await.unwrap();
    assert_eq!((fresh.version, &fresh.value, fresh.created_at), (0, &json!(4), None));
    for (bad, code) in [(json!("7"), "wrong_type"), (json!(10), "out_of_range"), (json!(null), "wrong_type")]
    {
        let error = tenancy.set_configuration(CHAIRS.key, value(bad), None, &by()).await.unwrap_err();
        let TenancyError::Invalid(fields) = error else { panic!("{error:?}") };
        assert_eq!((fields[0].pointer.as_str(), fields[0].code.as_str()), ("/value", code));
    }
    let set = tenancy.set_configuration(CHAIRS.key, value(json!(7)), Some(0), &by()).await.unwrap();
    assert_eq!((set.version, &set.value, &set.default), (1, &json!(7), &json!(4)));
    reader.forget();
    assert_eq!(reader.get(&CHAIRS).await, 7);
    let stale = tenancy.set_configuration(CHAIRS.key, value(json!(8)), Some(0), &by()).await.unwrap_err();
    assert_eq!(stale, TenancyError::VersionMismatch { current: 1 });
    let again = tenancy.set_configuration(CHAIRS.key, value(json!(9)), Some(1), &by()).await.unwrap();
    assert_eq!(again.version, 2);
    let stale = tenancy.unset_configuration(CHAIRS.key, Some(1), &by()).await.unwrap_err();
    assert_eq!(stale, TenancyError::VersionMismatch { current: 2 });
    tenancy.unset_configuration(CHAIRS.key, Some(2), &by()).await.unwrap();
    tenancy.unset_configuration(CHAIRS.key, None, &by()).await.unwrap();
    reader.forget();
    assert_eq!(reader.get(&CHAIRS).await, 4);
    let unset = configuration::service::get(tenancy.app(), tenancy.modules(), CHAIRS.key).await.unwrap();
    assert_eq!((unset.version, &unset.value), (3, &json!(4)), "a second time has changed nothing");
    let told: Vec<_> = audited(&tenancy).await;
    let told: Vec<_> =
        told.iter().map(|r| (r.action.as_str(), &r.before["value"], &r.after["value"])).collect();
    assert_eq!(
        told,
        [
            ("configuration.set", &json!(4), &json!(7)),
            ("configuration.set", &json!(7), &json!(9)),
            ("configuration.unset", &json!(9), &json!(4)),
        ]
    );
}

#[tokio::test]
async fn a_note_is_audited_too() {
    let tenancy = tenancy().await;
    for note in [Some("first"), Some("second"), None] {
        let description = note.map(str::to_owned);
        let value = NewValue { value: json!(7), description: description.clone() };
        tenancy.set_configuration(CHAIRS.key, value, None, &by()).await.unwrap();
        let flag = NewFlag { enabled: true, rollout_percent: 100, description };
        tenancy.set_flag(FLAG.key, flag, None, &by()).await.unwrap();
    }
    let rows = audited(&tenancy).await;
    for action in ["configuration.set", "feature_flag.set"] {
        let told = rows.iter().filter(|row| row.action == action);
        let told: Vec<_> =
            told.map(|row| (row.before["description"].clone(), row.after["description"].clone())).collect();
        let (none, first, second) = (Value::Null, json!("first"), json!("second"));
        let expected = [(none.clone(), first.clone()), (first, second.clone()), (second, none)];
        assert_eq!(told, expected, "{action}");
    }
}

#[tokio::test]
async fn what_nobody_declared_can_be_neither_read_nor_set() {
    let tenancy = tenancy().await;
    let insert = raw_sql!(
        Postgres,
        r#"INSERT INTO public.system_configurations (key, value) VALUES ('keys.master_key_check', '"digest"')"#
    );
    tenancy.control().execute(insert).await.unwrap();
    let unknown = Some(TenancyError::UnknownSetting);
    for key in ["keys.master_key_check", "test.flag", "nothing"] {
        let set = tenancy.set_configuration(key, value(json!(1)), None, &by()).await;
        assert_eq!(set.err(), unknown);
        assert_eq!(tenancy.unset_configuration(key, None, &by()).await.err(), unknown);
        assert_eq!(configuration::service::get(tenancy.app(), tenancy.modules(), key).await.err(), unknown);
    }
    let all = configuration::service::list(tenancy.app(), tenancy.modules()).await.unwrap();
    let keys: Vec<_> = all.iter().map(|one| one.key).collect();
    assert_eq!(
        keys,
        [
            "platform.maintenance_message",
            "platform.maintenance_retry_after",
            "platform.read_only",
            "test.chairs"
        ]
    );
    assert_eq!(tenancy.set_flag("test.chairs", flag(true, 100), None, &by()).await.err(), unknown);
    let overridden = tenancy.override_flag("nothing", &"a".parse().unwrap(), Some(true), None, &by()).await;
    assert_eq!(overridden.err(), unknown);
    assert!(audited(&tenancy).await.is_empty());
}

#[tokio::test]
async fn a_version_that_somebody_has_read_never_comes_again() {
    let tenancy = tenancy().await;
    let tenant = tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
    tenancy.set_configuration(CHAIRS.key, value(json!(7)), Some(0), &by()).await.unwrap();
    tenancy.unset_configuration(CHAIRS.key, Some(1), &by()).await.unwrap();
    for read_before in [0, 1] {
        let stale = tenancy.set_configuration(CHAIRS.key, value(json!(8)), Some(read_before), &by()).await;
        assert_eq!(stale.err(), Some(TenancyError::VersionMismatch { current: 2 }));
    }
    let set = tenancy.set_configuration(CHAIRS.key, value(json!(8)), Some(2), &by()).await.unwrap();
    assert_eq!((set.version, set.value), (3, json!(8)));

    tenancy.set_flag(FLAG.key, flag(true, 50), Some(0), &by()).await.unwrap();
    tenancy.override_flag(FLAG.key, &tenant.slug, Some(true), Some(1), &by()).await.unwrap();
    tenancy.unset_flag(FLAG.key, Some(2), &by()).await.unwrap();
    tenancy.unset_flag(FLAG.key, None, &by()).await.unwrap();
    for read_before in [0, 1, 2] {
        let stale = tenancy.set_flag(FLAG.key, flag(false, 10), Some(read_before), &by()).await;
        assert_eq!(stale.err(), Some(TenancyError::VersionMismatch { current: 3 }));
    }
    let unset = feature_flag::service::get(tenancy.app(), tenancy.modules(), FLAG.key).await.unwrap();
    assert_eq!((unset.version, unset.enabled, unset.rollout_percent, unset.overrides), (3, false, 100, 0));
    let set = tenancy.override_flag(FLAG.key, &tenant.slug, Some(true), Some(3), &by()).await.unwrap();
    assert_eq!((set.version, set.enabled), (4, false), "an override leaves the flag as it is declared");
}

#[tokio::test]
async fn of_two_who_set_first_one_is_told_of_the_other() {
    let tenancy = tenancy().await;
    let set = |number: i64| {
        let tenancy = tenancy.clone();
        async move { tenancy.set_configuration(CHAIRS.key, value(json!(number)), Some(0), &by()).await }
    };
    let (one, other) = tokio::join!(set(2), set(3));
    let refused: Vec<_> = [&one, &other].into_iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(refused, [&TenancyError::VersionMismatch { current: 1 }]);
    assert_eq!(audited(&tenancy).await.len(), 1);
}

#[tokio::test]
async fn a_flag_is_on_by_override_by_roll_out_or_by_default() {
    let tenancy = tenancy().await;
    let tenant = tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
    let flags = FeatureFlags::new(tenancy.app().clone());
    let is_on = async || {
        flags.forget();
        flags.is_enabled(tenant.id, &FLAG).await
    };
    assert!(!is_on().await, "its default");
    tenancy.set_flag(FLAG.key, flag(true, 100), Some(0), &by()).await.unwrap();
    assert!(is_on().await, "for all");
    tenancy.set_flag(FLAG.key, flag(true, 0), Some(1), &by()).await.unwrap();
    assert!(!is_on().await, "for none in a hundred");
    let on = tenancy.override_flag(FLAG.key, &tenant.slug, Some(true), Some(2), &by()).await.unwrap();
    assert_eq!((on.version, on.overrides), (3, 1));
    assert!(is_on().await, "for this one");
    let same = tenancy.override_flag(FLAG.key, &tenant.slug, Some(true), None, &by()).await.unwrap();
    assert_eq!(same.version, 3, "nothing has changed");
    let stale = tenancy.override_flag(FLAG.key, &tenant.slug, Some(false), Some(2), &by()).await.unwrap_err();
    assert_eq!(stale, TenancyError::VersionMismatch { current: 3 });
    tenancy.set_flag(FLAG.key, flag(true, 100), None, &by()).await.unwrap();
    tenancy.override_flag(FLAG.key, &tenant.slug, Some(false), None, &by()).await.unwrap();
    assert!(!is_on().await, "for all but this one");
    let mut page = PageRequest::default();
    page.count = true;
    let listed = feature_flag::service::list_overrides(tenancy.app(), tenancy.modules(), FLAG.key, &page)
        .await
        .unwrap();
    assert_eq!(
        (listed.items[0].slug.clone(), listed.items[0].enabled, listed.total),
        (tenant.slug.clone(), false, Some(1))
    );
    tenancy.override_flag(FLAG.key, &tenant.slug, None, None, &by()).await.unwrap();
    assert!(is_on().await, "as for all again");
    tenancy.unset_flag(FLAG.key, None, &by()).await.unwrap();
    assert!(!is_on().await, "its default again");
    let unknown = tenancy.override_flag(FLAG.key, &slug().parse().unwrap(), Some(true), None, &by()).await;
    assert_eq!(unknown.err(), Some(TenancyError::UnknownTenant));
    for percent in [-1, 101] {
        let wrong = tenancy.set_flag(FLAG.key, flag(true, percent), None, &by()).await;
        assert!(matches!(wrong, Err(TenancyError::Invalid(_))));
    }
    let rows = audited(&tenancy).await;
    let actions: Vec<_> = rows.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "feature_flag.set",
            "feature_flag.set",
            "feature_flag.overridden",
            "feature_flag.set",
            "feature_flag.overridden",
            "feature_flag.overridden",
            "feature_flag.unset"
        ]
    );
    for row in &rows {
        let concerned = (row.action == "feature_flag.overridden").then(|| tenant.id.to_string());
        assert_eq!(row.tenant, concerned, "{row:?}");
    }
    assert_eq!((&rows[4].before["override"], &rows[4].after["override"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn what_another_process_sets_is_seen_within_five_seconds() {
    let tenancy = tenancy().await;
    let tenant = tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
    let (configurations, flags) =
        (Configurations::new(tenancy.app().clone()), FeatureFlags::new(tenancy.app().clone()));
    let read = async || (configurations.get(&CHAIRS).await, flags.is_enabled(tenant.id, &FLAG).await);
    assert_eq!(read().await, (4, false));
    // Nobody tells these readers, as nobody would tell those of another process.
    tenancy.set_configuration(CHAIRS.key, value(json!(9)), None, &by()).await.unwrap();
    tenancy.override_flag(FLAG.key, &tenant.slug, Some(true), None, &by()).await.unwrap();
    let started = Instant::now();
    while read().await != (9, true) {
        assert!(started.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn while_the_database_is_away_settings_are_what_they_were() {
    let tenancy = tenancy().await;
    let tenant = tenancy.create(new_tenant(&tenancy, &slug()), &by(), Vec::new()).await.unwrap();
    let (configurations, flags) =
        (Configurations::new(tenancy.app().clone()), FeatureFlags::new(tenancy.app().clone()));
    tenancy.set_configuration(CHAIRS.key, value(json!(9)), None, &by()).await.unwrap();
    tenancy.set_flag(FLAG.key, flag(true, 100), None, &by()).await.unwrap();
    assert_eq!((configurations.get(&CHAIRS).await, flags.is_enabled(tenant.id, &FLAG).await), (9, true));
    tenancy.app().close().await;
    configurations.forget();
    flags.forget();
    assert_eq!((configurations.get(&CHAIRS).await, flags.is_enabled(tenant.id, &FLAG).await), (9, true));
    assert_eq!(configurations.get(&MAINTENANCE_RETRY_AFTER).await, Duration::from_secs(120));
    assert_eq!(configurations.get(&MAINTENANCE_MESSAGE).await, "");
}
