//! The two demo clinics.

use chrono::Weekday::{Fri, Mon, Sun, Thu, Tue, Wed};

use super::demo::Profile;

/// A demo tenant and what it is filled with.
pub(super) struct DemoClinic {
    /// Its slug.
    pub(super) slug: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// Its modules besides core.
    pub(super) modules: &'static [&'static str],
    /// Its time zone.
    pub(super) time_zone: &'static str,
    /// Its currency.
    pub(super) currency: &'static str,
    /// Its locale.
    pub(super) locale: &'static str,
    /// Users beside the administrator: the part before the `@`, the name, the role.
    pub(super) users: &'static [(&'static str, &'static str, &'static str)],
    /// Its data.
    pub(super) profile: Profile,
}

/// A general clinic in Damascus and a dental practice in Berlin.
pub(super) const CLINICS: &[DemoClinic] = &[
    DemoClinic {
        slug: "clinic1",
        name: "عيادة الياسمين · Jasmine Clinic",
        modules: &["billing"],
        time_zone: "Asia/Damascus",
        currency: "SYP",
        locale: "ar-SY",
        users: &[
            ("doctor", "Rana Haddad", "doctor"),
            ("reception", "Samer Nasser", "receptionist"),
            ("accounts", "Huda Mansour", "accountant"),
        ],
        profile: Profile {
            phone_prefix: "+963 11",
            issuer: &[
                ("name", "عيادة الياسمين"),
                ("address", "شارع بغداد ١٢\nدمشق"),
                ("contact", "+963 11 2310000\nbilling@clinic1.example"),
            ],
            language: "ar",
            weekdays: &[Sun, Mon, Tue, Wed, Thu],
            staff: &[
                ("Rana", "Haddad", "doctor", Some("General practice"), "#2a9d8f"),
                ("Khaled", "Darwish", "doctor", Some("Internal medicine"), "#e76f51"),
                ("Maya", "Shahin", "doctor", Some("Paediatrics"), "#457b9d"),
                ("Nadia", "Al-Khatib", "nurse", None, "#8d99ae"),
                ("Samer", "Nasser", "receptionist", None, "#6d6875"),
            ],
            rooms: &[("Main building", "site"), ("Room 1", "room"), ("Room 2", "room"), ("Room 3", "room")],
            services: &[
                ("CONS", "Consultation", 30, false, "75000.00"),
                ("CTRL", "Follow-up", 20, false, "40000.00"),
                ("VACC", "Vaccination", 15, false, "30000.00"),
                ("ECG", "Electrocardiogram", 30, false, "60000.00"),
            ],
        },
    },
    DemoClinic {
        slug: "dental1",
        name: "Zahnarztpraxis am Lindenufer",
        modules: &["billing", "dental"],
        time_zone: "Europe/Berlin",
        currency: "EUR",
        locale: "de-DE",
        users: &[
            ("dentist", "Jürgen Strauß", "dentist"),
            ("hygienist", "Olena Kovalenko", "hygienist"),
            ("reception", "Zoë Lefèvre", "receptionist"),
        ],
        profile: Profile {
            phone_prefix: "+49 30",
            issuer: &[
                ("name", "Zahnarztpraxis am Lindenufer"),
                ("address", "Lindenufer 7\n13597 Berlin"),
                ("tax_number", "30/123/45678"),
                ("contact", "+49 30 2310000\nbilling@dental1.example"),
                ("payment_details", "Zahlbar an Zahnarztpraxis am Lindenufer"),
            ],
            language: "de",
            weekdays: &[Mon, Tue, Wed, Thu, Fri],
            staff: &[
                ("Jürgen", "Strauß", "dentist", Some("Endodontics"), "#2a9d8f"),
                ("Şule", "Yıldız", "dentist", Some("Orthodontics"), "#e76f51"),
                ("Olena", "Kovalenko", "hygienist", Some("Prophylaxis"), "#457b9d"),
                ("Paul", "Nowak", "assistant", None, "#8d99ae"),
                ("Zoë", "Lefèvre", "receptionist", None, "#6d6875"),
            ],
            rooms: &[
                ("Lindenufer", "site"),
                ("Chair 1", "chair"),
                ("Chair 2", "chair"),
                ("Chair 3", "chair"),
            ],
            services: &[
                ("CHECK", "Check-up", 30, true, "45.00"),
                ("PZR", "Professional cleaning", 40, true, "95.00"),
                ("FILL", "Filling", 40, true, "120.00"),
                ("RCT", "Root canal treatment", 40, true, "380.00"),
            ],
        },
    },
];
