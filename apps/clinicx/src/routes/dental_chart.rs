//! Dental charts, and the drawing of them.

use actix_web::http::header;
use chrono::NaiveDate;
use clinicx_core::PatientId;
use clinicx_dental::{
    NAME,
    chart::{self, Chart, ChartView, UpdateChart},
    notation::Notation,
    odontogram::{self, Dentitions, Options, Size, Theme},
    permission::{DENTAL_CHART_READ, DENTAL_CHART_WRITE},
};
use clinicx_types::{calendar, lang::Language};
use clinicx_web::{Access, ApiError, Body, HttpModule, Operation, Path, Query, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// A drawing has styles of its own and loads nothing.
const DRAWING_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
const SVG: &str = "image/svg+xml";

/// The operations on dental charts.
pub fn module() -> HttpModule {
    let read = Access::Tenant(DENTAL_CHART_READ);
    HttpModule::new("dental-charts", "What is known of a patient's teeth")
        .requires(NAME)
        .texts(Language::English, include_str!("../../locales/dental/en.toml"))
        .texts(Language::German, include_str!("../../locales/dental/de.toml"))
        .texts(Language::Arabic, include_str!("../../locales/dental/ar.toml"))
        .operations([
            Operation::get("/patients/{id}/dental-chart", "get_dental_chart")
                .summary("Show what is known of a patient's teeth, today or as of a day")
                .description(
                    "A projection of what became of the teeth, what was found and what was done. A tooth of which \
                     nothing was recorded is `unknown`, not healthy.",
                )
                .access(read)
                .shows_patients("dental_chart")
                .answers::<Chart>(200)
                .errors(&["not_found", "patient_merged", "patient_erased"])
                .handler(get),
            Operation::patch("/patients/{id}/dental-chart", "update_dental_chart")
                .summary("Change the notation in which a patient's chart is shown")
                .description("The version of a chart to which nothing was charted is 0.")
                .access(Access::Tenant(DENTAL_CHART_WRITE))
                .answers::<Chart>(200)
                .errors(&["not_found", "patient_merged", "patient_erased", "transition_refused"])
                .handler(update),
            Operation::get("/patients/{id}/dental-chart.svg", "draw_dental_chart")
                .summary("Draw a patient's chart")
                .description(
                    "Both arches and both dentitions, findings and work by colour and by pattern; each tooth is an \
                     image with a name that says what is known of it.",
                )
                .access(read)
                .shows_patients("dental_chart")
                .answers_content(SVG)
                .errors(&["not_found", "patient_merged", "patient_erased"])
                .handler(draw),
        ])
}

/// How a chart is wanted.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As of the end of this day of the clinic's calendar; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    as_of: Option<NaiveDate>,
    /// How teeth are written; as the chart prefers unless it is said.
    notation: Option<Notation>,
}

/// How a drawing is wanted.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedDrawing {
    /// As of the end of this day of the clinic's calendar; today unless it is said.
    #[serde(default, deserialize_with = "calendar::optional_day")]
    as_of: Option<NaiveDate>,
    /// How teeth are written; as the chart prefers unless it is said.
    notation: Option<Notation>,
    /// On which ground; as the reader's device prefers unless it is said.
    #[serde(default)]
    theme: WantedTheme,
    /// How large; 800 pixels wide unless it is said.
    #[serde(default)]
    size: WantedSize,
    /// Which teeth; all of them unless it is said.
    #[serde(default)]
    dentition: WantedDentition,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WantedTheme {
    #[default]
    Auto,
    Light,
    Dark,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WantedSize {
    #[default]
    Screen,
    Print,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WantedDentition {
    #[default]
    Both,
    Permanent,
    Known,
}

impl From<WantedDrawing> for Options {
    fn from(wanted: WantedDrawing) -> Self {
        Self {
            theme: match wanted.theme {
                WantedTheme::Auto => Theme::Auto,
                WantedTheme::Light => Theme::Light,
                WantedTheme::Dark => Theme::Dark,
            },
            size: match wanted.size {
                WantedSize::Screen => Size::Screen,
                WantedSize::Print => Size::Print,
            },
            dentitions: match wanted.dentition {
                WantedDentition::Both => Dentitions::Both,
                WantedDentition::Permanent => Dentitions::Permanent,
                WantedDentition::Known => Dentitions::Known,
            },
        }
    }
}

async fn get(
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Query(Wanted { as_of, notation }): Query<Wanted>,
) -> Result<Reply, ApiError> {
    let view = ChartView { as_of, notation };
    let found = cx.read(async |tx, scope| Ok(chart::get(tx, scope, id, view).await?)).await?;
    Ok(Reply::ok(&found).showing([id]))
}

async fn draw(
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Query(wanted): Query<WantedDrawing>,
) -> Result<Reply, ApiError> {
    let view = ChartView { as_of: wanted.as_of, notation: wanted.notation };
    let found = cx.read(async |tx, scope| Ok(chart::get(tx, scope, id, view).await?)).await?;
    let drawing = odontogram::draw(&found, &wanted.into());
    let reply = Reply::content(SVG, drawing).with_digest();
    Ok(reply.with_header(header::CONTENT_SECURITY_POLICY, DRAWING_POLICY).showing([id]))
}

async fn update(
    cx: TenantCx,
    Path(id): Path<PatientId>,
    Body(input): Body<UpdateChart>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        Box::pin(
            async move { Ok(Reply::ok(&chart::update(tx, scope, id, expected, input).await?).showing([id])) },
        )
    })
    .await
}
