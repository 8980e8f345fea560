//! Staff, rooms, services, working hours, absences and appointments.

use sea_orm::sea_query::{
    ColumnDef, ColumnType, Expr, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, Index,
    IndexCreateStatement, Table,
};

use crate::tenant::{Down, TenantMigration, script::Script};

/// Creates `staff`.
pub(super) const CREATE_STAFF: TenantMigration = TenantMigration {
    name: "m0101_create_staff",
    up: create_staff,
    down: Down::Script(|script| script.sql("DROP TABLE staff")),
};

/// Creates `rooms`.
pub(super) const CREATE_ROOMS: TenantMigration = TenantMigration {
    name: "m0102_create_rooms",
    up: create_rooms,
    down: Down::Script(|script| script.sql("DROP TABLE rooms")),
};

/// Creates `services`.
pub(super) const CREATE_SERVICES: TenantMigration = TenantMigration {
    name: "m0103_create_services",
    up: create_services,
    down: Down::Script(|script| script.sql("DROP TABLE services")),
};

/// Creates `working_hours`.
pub(super) const CREATE_WORKING_HOURS: TenantMigration = TenantMigration {
    name: "m0104_create_working_hours",
    up: create_working_hours,
    down: Down::Script(|script| script.sql("DROP TABLE working_hours")),
};

/// Creates `time_off`.
pub(super) const CREATE_TIME_OFF: TenantMigration = TenantMigration {
    name: "m0105_create_time_off",
    up: create_time_off,
    down: Down::Script(|script| script.sql("DROP TABLE time_off")),
};

/// Creates `appointments`; needs `patients`.
pub(super) const CREATE_APPOINTMENTS: TenantMigration = TenantMigration {
    name: "m0106_create_appointments",
    up: create_appointments,
    down: Down::Script(|script| script.sql("DROP TABLE appointments")),
};

/// Creates `appointment_events`.
pub(super) const CREATE_APPOINTMENT_EVENTS: TenantMigration = TenantMigration {
    name: "m0107_create_appointment_events",
    up: create_appointment_events,
    down: Down::Irreversible("the history of appointments would be lost"),
};

fn create_staff(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("staff")
            .col(ColumnDef::new("family_name").text().not_null())
            .col(ColumnDef::new("given_name").text().not_null())
            .col(ColumnDef::new("roles").array(ColumnType::Text).not_null())
            .col(ColumnDef::new("specialty").text())
            .col(ColumnDef::new("licence_number").text())
            .col(ColumnDef::new("colour").text())
            .col(ColumnDef::new("active").boolean().not_null().default(true))
            .col(ColumnDef::new("user_id").uuid())
            .take(),
    );
    script.add_constraint(
        "staff",
        "ck_staff__roles",
        "CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['owner', 'admin', 'dentist', 'doctor', 'hygienist', 'nurse', \
         'assistant', 'receptionist', 'accountant']::text[])",
    );
    script.add_constraint("staff", "ck_staff__colour", "CHECK (colour ~ '^#[0-9a-f]{6}$')");
    script.create_index(&index(
        "ix_staff__family_name_given_name_id",
        "staff",
        &["family_name", "given_name", "id"],
    ));
    script.create_index(index("ux_staff__user_id", "staff", &["user_id"]).unique());
}

fn create_rooms(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("rooms")
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("parent_id").uuid())
            .col(ColumnDef::new("time_zone").text())
            .col(ColumnDef::new("active").boolean().not_null().default(true))
            .take(),
    );
    script.add_constraint("rooms", "ck_rooms__kind", "CHECK (kind IN ('site', 'room', 'chair'))");
    script.add_constraint("rooms", "ck_rooms__time_zone", "CHECK (time_zone IS NULL OR kind = 'site')");
    script.add_constraint("rooms", "ck_rooms__parent_id", "CHECK (parent_id <> id)");
    script.create_foreign_key(&foreign_key("fk_rooms__parent_id", ("rooms", "parent_id"), "rooms"));
    script.create_index(&index("ix_rooms__name_id", "rooms", &["name", "id"]));
    script.create_index(&index("ix_rooms__parent_id", "rooms", &["parent_id"]));
}

fn create_services(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("services")
            .col(ColumnDef::new("code").text().not_null())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("names").json_binary().not_null().default(Expr::cust("'{}'::jsonb")))
            .col(ColumnDef::new("duration_minutes").integer().not_null())
            .col(ColumnDef::new("buffer_before_minutes").integer().not_null().default(0))
            .col(ColumnDef::new("buffer_after_minutes").integer().not_null().default(0))
            .col(ColumnDef::new("needs_chair").boolean().not_null().default(false))
            .col(ColumnDef::new("bookable_online").boolean().not_null().default(false))
            .col(ColumnDef::new("price").decimal_len(19, 4))
            .col(ColumnDef::new("currency").char_len(3).not_null())
            .col(ColumnDef::new("tax_rate").decimal_len(7, 4).not_null().default(0))
            .col(ColumnDef::new("active").boolean().not_null().default(true))
            .take(),
    );
    script.add_constraint("services", "ck_services__duration", "CHECK (duration_minutes BETWEEN 1 AND 1440)");
    script.add_constraint(
        "services",
        "ck_services__buffers",
        "CHECK (buffer_before_minutes BETWEEN 0 AND 240 AND buffer_after_minutes BETWEEN 0 AND 240)",
    );
    script.add_constraint("services", "ck_services__price", "CHECK (price >= 0)");
    script.add_constraint("services", "ck_services__currency", "CHECK (currency ~ '^[A-Z]{3}$')");
    script.add_constraint("services", "ck_services__tax_rate", "CHECK (tax_rate BETWEEN 0 AND 100)");
    script.add_constraint("services", "ck_services__names", "CHECK (jsonb_typeof(names) = 'object')");
    script.create_index(index("ux_services__code", "services", &["code"]).unique());
}

fn create_working_hours(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("working_hours")
            .col(ColumnDef::new("staff_id").uuid().not_null())
            .col(ColumnDef::new("weekday").small_integer().not_null())
            .col(ColumnDef::new("starts").time().not_null())
            .col(ColumnDef::new("ends").time().not_null())
            .col(ColumnDef::new("time_zone").text().not_null())
            .col(ColumnDef::new("valid_from").date())
            .col(ColumnDef::new("valid_until").date())
            .take(),
    );
    script.add_constraint("working_hours", "ck_working_hours__weekday", "CHECK (weekday BETWEEN 1 AND 7)");
    // 00:00 as the end is the midnight at which the day ends.
    script.add_constraint(
        "working_hours",
        "ck_working_hours__ends",
        "CHECK (starts < ends OR ends = TIME '00:00')",
    );
    script.add_constraint("working_hours", "ck_working_hours__valid", "CHECK (valid_from <= valid_until)");
    script.add_constraint(
        "working_hours",
        "ex_working_hours__overlap",
        "EXCLUDE USING gist (staff_id extensions.gist_uuid_ops WITH =, weekday extensions.gist_int2_ops WITH =, \
         int4range((EXTRACT(EPOCH FROM starts) / 60)::integer, CASE WHEN ends = TIME '00:00' THEN 1440 \
         ELSE (EXTRACT(EPOCH FROM ends) / 60)::integer END) WITH &&, \
         daterange(valid_from, valid_until, '[]') WITH &&)",
    );
    script.create_foreign_key(&foreign_key(
        "fk_working_hours__staff_id",
        ("working_hours", "staff_id"),
        "staff",
    ));
    script.create_index(&index(
        "ix_working_hours__staff_id_weekday_starts_id",
        "working_hours",
        &["staff_id", "weekday", "starts", "id"],
    ));
}

fn create_time_off(script: &mut Script) {
    script.create_table(
        Table::create()
            .table("time_off")
            .col(ColumnDef::new("staff_id").uuid().not_null())
            .col(ColumnDef::new("starts_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("ends_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("reason").text())
            .take(),
    );
    script.add_constraint("time_off", "ck_time_off__ends_at", "CHECK (starts_at < ends_at)");
    script.create_foreign_key(&foreign_key("fk_time_off__staff_id", ("time_off", "staff_id"), "staff"));
    script.create_index(&index(
        "ix_time_off__staff_id_starts_at_id",
        "time_off",
        &["staff_id", "starts_at", "id"],
    ));
}

fn create_appointments(script: &mut Script) {
    let range = |column: &'static str, from_to: &'static str| {
        ColumnDef::new(column).custom("tstzrange").generated(Expr::cust(from_to), true).take()
    };
    script.create_table(
        Table::create()
            .table("appointments")
            .col(ColumnDef::new("patient_id").uuid().not_null())
            .col(ColumnDef::new("staff_id").uuid().not_null())
            .col(ColumnDef::new("room_id").uuid())
            .col(ColumnDef::new("service_id").uuid())
            .col(ColumnDef::new("series_id").uuid())
            .col(ColumnDef::new("starts_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("ends_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("busy_starts_at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("busy_ends_at").timestamp_with_time_zone().not_null())
            .col(range("during", "tstzrange(starts_at, ends_at)"))
            .col(range("busy", "tstzrange(busy_starts_at, busy_ends_at)"))
            .col(ColumnDef::new("time_zone").text().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("priority").small_integer())
            .col(ColumnDef::new("reason").text())
            .col(ColumnDef::new("comment").text())
            .col(ColumnDef::new("cancellation_reason").text())
            .col(ColumnDef::new("overbook").boolean().not_null().default(false))
            .col(ColumnDef::new("hold_expires_at").timestamp_with_time_zone())
            .take(),
    );
    const TABLE: &str = "appointments";
    script.add_constraint(
        TABLE,
        "ck_appointments__status",
        "CHECK (status IN ('proposed', 'waitlist', 'pending', 'booked', 'arrived', 'checked-in', 'fulfilled', \
         'cancelled', 'noshow', 'entered-in-error'))",
    );
    script.add_constraint(
        TABLE,
        "ck_appointments__times",
        "CHECK (starts_at < ends_at AND busy_starts_at <= starts_at AND ends_at <= busy_ends_at \
         AND ends_at - starts_at <= INTERVAL '24 hours')",
    );
    script.add_constraint(
        TABLE,
        "ck_appointments__hold_expires_at",
        "CHECK ((status = 'pending') = (hold_expires_at IS NOT NULL))",
    );
    script.add_constraint(TABLE, "ck_appointments__priority", "CHECK (priority BETWEEN 0 AND 9)");
    script.create_foreign_key(&foreign_key("fk_appointments__patient_id", (TABLE, "patient_id"), "patients"));
    script.create_foreign_key(&foreign_key("fk_appointments__staff_id", (TABLE, "staff_id"), "staff"));
    script.create_foreign_key(&foreign_key("fk_appointments__room_id", (TABLE, "room_id"), "rooms"));
    script.create_foreign_key(&foreign_key("fk_appointments__service_id", (TABLE, "service_id"), "services"));
    script.create_index(&index("ix_appointments__starts_at_id", TABLE, &["starts_at", "id"]));
    for (name, column) in [
        ("ix_appointments__patient_id_starts_at_id", "patient_id"),
        ("ix_appointments__staff_id_starts_at_id", "staff_id"),
        ("ix_appointments__room_id_starts_at_id", "room_id"),
        ("ix_appointments__service_id_starts_at_id", "service_id"),
    ] {
        script.create_index(&index(name, TABLE, &[column, "starts_at", "id"]));
    }
    script.sql(
        "CREATE INDEX ix_appointments__hold_expires_at ON appointments (hold_expires_at) \
         WHERE hold_expires_at IS NOT NULL",
    );
    add_exclusions(script);
}

/// No double booking: of a member of staff and of a room with the service's buffers, of a patient without.
fn add_exclusions(script: &mut Script) {
    script.add_constraint(
        "appointments",
        "ex_appointments__staff",
        "EXCLUDE USING gist (staff_id extensions.gist_uuid_ops WITH =, busy WITH &&) \
         WHERE (status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled') AND NOT overbook)",
    );
    script.add_constraint(
        "appointments",
        "ex_appointments__room",
        "EXCLUDE USING gist (room_id extensions.gist_uuid_ops WITH =, busy WITH &&) \
         WHERE (status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled') AND NOT overbook)",
    );
    script.add_constraint(
        "appointments",
        "ex_appointments__patient",
        "EXCLUDE USING gist (patient_id extensions.gist_uuid_ops WITH =, during WITH &&) \
         WHERE (status IN ('pending', 'booked', 'arrived', 'checked-in', 'fulfilled') AND NOT overbook)",
    );
}

fn create_appointment_events(script: &mut Script) {
    script.create_append_only_table(
        Table::create()
            .table("appointment_events")
            .col(ColumnDef::new("appointment_id").uuid().not_null())
            .col(ColumnDef::new("from_status").text())
            .col(ColumnDef::new("to_status").text().not_null())
            .col(ColumnDef::new("at").timestamp_with_time_zone().not_null())
            .col(ColumnDef::new("actor_kind").text().not_null())
            .col(ColumnDef::new("actor_id").uuid())
            .col(ColumnDef::new("actor_job").text())
            .col(ColumnDef::new("reason").text())
            .col(ColumnDef::new("old_starts_at").timestamp_with_time_zone())
            .col(ColumnDef::new("old_ends_at").timestamp_with_time_zone())
            .col(ColumnDef::new("new_starts_at").timestamp_with_time_zone())
            .col(ColumnDef::new("new_ends_at").timestamp_with_time_zone())
            .take(),
    );
    script.create_foreign_key(&foreign_key(
        "fk_appointment_events__appointment_id",
        ("appointment_events", "appointment_id"),
        "appointments",
    ));
    script.create_index(&index(
        "ix_appointment_events__appointment_id_at_id",
        "appointment_events",
        &["appointment_id", "at", "id"],
    ));
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).table(table).take();
    for column in columns {
        index.col(*column);
    }
    index
}

fn foreign_key(
    name: &'static str,
    (table, column): (&'static str, &'static str),
    to: &'static str,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(name)
        .from(table, column)
        .to(to, "id")
        .on_delete(ForeignKeyAction::Restrict)
        .take()
}
