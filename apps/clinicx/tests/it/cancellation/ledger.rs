//! What the superuser sees of a tenant's rows and of the database's connections.

use std::time::Duration;

use clinicx_persistence::TenantTarget;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// How long a connection may be on its way out of a transaction.
const PATIENCE: Duration = Duration::from_secs(2);

/// The rows that have versions of their own, which of them, and the word for them in audit and outbox.
const THINGS: [(&str, &str, &str); 18] = [
    ("patients", "true", "patient"),
    ("staff", "true", "staff"),
    ("rooms", "true", "room"),
    ("services", "true", "service"),
    ("working_hours", "true", "working_hours"),
    ("time_off", "true", "time_off"),
    ("appointments", "true", "appointment"),
    ("tooth_presence_events", "true", "tooth_presence"),
    ("tooth_findings", "true", "tooth_finding"),
    ("perio_exams", "true", "perio_exam"),
    ("treatments", "true", "treatment"),
    ("treatment_plans", "true", "treatment_plan"),
    ("lab_cases", "true", "lab_case"),
    ("invoices", "true", "invoice"),
    ("payments", "true", "payment"),
    ("installment_plans", "true", "installment_plan"),
    ("charge_items", "true", "charge_item"),
    // What is shipped or comes in a file leaves no row of its own.
    ("procedure_codes", "origin = 'own'", "procedure_code"),
];

/// What is never changed and has no version, and the word for it.
const KEPT: [(&str, &str); 2] = [("credit_notes", "credit_note"), ("refunds", "refund")];

/// What is there with its table, and the word for it: its first version is nobody's change.
const BEGUN: [(&str, &str); 1] = [("billing_settings", "billing_settings")];

/// A look at one tenant from outside.
pub(crate) struct Ledger {
    superuser: PgConnection,
    tables: Vec<String>,
    counting: String,
    schema: String,
    tenant: Uuid,
}

impl Ledger {
    pub(crate) async fn open(superuser: &PgConnectOptions, target: &TenantTarget) -> Self {
        let mut superuser = superuser.connect().await.unwrap();
        let (schema, tenant) = (target.schema.as_str().to_owned(), target.tenant_id.uuid());
        let mut tables = vec!["audit".to_owned()];
        let mut terms =
            vec![format!("(SELECT count(*) FROM public.audit_logs WHERE tenant_id = '{tenant}')")];
        let listed: Vec<(String, bool)> = sqlx::query_as(
            "SELECT table_name::text, bool_or(column_name = 'version') FROM information_schema.columns
             WHERE table_schema = $1 GROUP BY table_name ORDER BY table_name",
        )
        .bind(&schema)
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        for (table, has_version) in listed {
            terms.push(format!("(SELECT count(*) FROM {schema}.{table})"));
            if has_version {
                terms.push(format!("(SELECT COALESCE(sum(version), 0)::bigint FROM {schema}.{table})"));
                tables.push(table.clone());
            }
            tables.push(table);
        }
        let counting = format!("SELECT ARRAY[{}]", terms.join(", "));
        Self { superuser, tables, counting, schema, tenant }
    }

    /// Counts the rows of every table, and adds up their versions.
    pub(crate) async fn counts(&mut self) -> Vec<i64> {
        let counting = AssertSqlSafe(self.counting.as_str());
        sqlx::query_scalar(counting).fetch_one(&mut self.superuser).await.unwrap()
    }

    /// Says which tables a difference is in.
    pub(crate) fn describe(&self, difference: &[i64]) -> String {
        let changed = self.tables.iter().zip(difference).filter(|(_, change)| **change != 0);
        changed.map(|(table, change)| format!("{table} {change:+}")).collect::<Vec<_>>().join(", ")
    }

    /// Counts the connections that stay in a transaction in which nothing runs.
    pub(crate) async fn left_in_transaction(&mut self) -> i64 {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let left: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            )
            .fetch_one(&mut self.superuser)
            .await
            .unwrap();
            if left == 0 || tokio::time::Instant::now() > until {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Counts the audit rows of a request.
    pub(crate) async fn audit_rows_of(&mut self, request: Uuid) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM public.audit_logs WHERE tenant_id = $1 AND request_id = $2")
            .bind(self.tenant)
            .bind(request)
            .fetch_one(&mut self.superuser)
            .await
            .unwrap()
    }

    /// Counts the requests of a list that left an audit row, and none twice: one for each thing that they changed.
    pub(crate) async fn recorded_of(&mut self, requests: &[Uuid]) -> usize {
        let recorded: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                 SELECT request_id FROM public.audit_logs
                 WHERE tenant_id = $1 AND request_id = ANY($2) AND action <> 'answer.repeated'
                 GROUP BY request_id HAVING count(*) = count(DISTINCT (entity, entity_id, action))
             ) AS recorded",
        )
        .bind(self.tenant)
        .bind(requests)
        .fetch_one(&mut self.superuser)
        .await
        .unwrap();
        usize::try_from(recorded).unwrap()
    }

    /// Counts the requests of a list of which only the answer was kept, or only the change.
    pub(crate) async fn half_kept_of(&mut self, requests: &[Uuid]) -> i64 {
        let schema = &self.schema;
        let question = format!(
            "SELECT count(*) FROM unnest($2) AS request
             WHERE EXISTS (SELECT FROM public.audit_logs WHERE tenant_id = $1 AND request_id = request)
                   <> EXISTS (SELECT FROM {schema}.idempotency_keys WHERE key = request::text)"
        );
        let question = sqlx::query_scalar(AssertSqlSafe(question)).bind(self.tenant).bind(requests);
        question.fetch_one(&mut self.superuser).await.unwrap()
    }

    /// Counts the things whose version, audit rows, events and history do not tell the same.
    ///
    /// Every change raises the version by one and leaves one audit row and one event; what is removed leaves one
    /// of each more. An appointment has a row of history for each change but those of its notes.
    pub(crate) async fn contradictions(&mut self) -> i64 {
        let schema = &self.schema;
        let things =
            THINGS.map(|(table, those, _)| format!("SELECT id, version FROM {schema}.{table} WHERE {those}"));
        let kept = KEPT.map(|(table, _)| format!("SELECT id, 1 FROM {schema}.{table}"));
        let begun =
            BEGUN.map(|(table, _)| format!("SELECT id, version - 1 FROM {schema}.{table} WHERE version > 1"));
        let things = things.into_iter().chain(kept).chain(begun).collect::<Vec<_>>().join(" UNION ALL ");
        let words = THINGS.iter().map(|(.., word)| *word).chain(KEPT.map(|(_, word)| word));
        let words: Vec<&str> = words.chain(BEGUN.map(|(_, word)| word)).collect();
        let question = format!(
            "WITH things AS ({things}), audits AS (
                 SELECT entity_id, count(*) AS changes, bool_or(action LIKE '%.deleted') AS gone,
                        count(*) FILTER (WHERE entity = 'appointment' AND action <> 'appointment.updated') AS steps
                 FROM public.audit_logs WHERE tenant_id = $1 AND action NOT LIKE ALL (ARRAY['%.read', '%.listed'])
                   AND entity = ANY($2)
                 GROUP BY entity_id
             ), events AS (
                 SELECT aggregate_id, count(*) AS changes FROM {schema}.outbox
                 WHERE aggregate = ANY($2) GROUP BY aggregate_id
             ), history AS (
                 SELECT appointment_id, count(*) AS steps FROM {schema}.appointment_events GROUP BY appointment_id
             )
             SELECT count(*)
             FROM things
             FULL JOIN audits ON audits.entity_id = things.id
             FULL JOIN events ON events.aggregate_id = audits.entity_id
             FULL JOIN history ON history.appointment_id = audits.entity_id
             WHERE audits.changes IS DISTINCT FROM events.changes
                OR (audits.gone IS NOT TRUE AND things.version IS DISTINCT FROM audits.changes)
                OR (audits.gone AND things.id IS NOT NULL)
                OR COALESCE(history.steps, 0) <> COALESCE(audits.steps, 0)"
        );
        let question = sqlx::query_scalar(AssertSqlSafe(question)).bind(self.tenant).bind(words);
        question.fetch_one(&mut self.superuser).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.superuser.close().await.unwrap();
    }
}
