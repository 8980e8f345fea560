//! What the mails say, in every language that the service speaks.

use clinicx_types::lang::Language;

use super::{Mail, MailSettings};
use crate::secret::LinkToken;

/// Why somebody is written to.
pub(crate) enum Occasion<'a> {
    /// Somebody has asked to set the account's password anew.
    PasswordReset(&'a LinkToken),
    /// The password was changed.
    PasswordChanged,
    /// A clinic invites somebody who has no account yet.
    Invited {
        /// The clinic's name.
        clinic: &'a str,
        /// Opens the account.
        token: &'a LinkToken,
    },
    /// A clinic invites somebody who has an account.
    InvitedAccount {
        /// The clinic's name.
        clinic: &'a str,
        /// Opens the clinic to the account.
        token: &'a LinkToken,
    },
}

/// Writes a mail.
pub(crate) fn compose(
    settings: &MailSettings,
    language: Language,
    to: &str,
    occasion: &Occasion<'_>,
) -> Mail {
    let (subject, text) = match occasion {
        Occasion::PasswordReset(token) => reset(language, &link(settings, "reset-password", token)),
        Occasion::PasswordChanged => changed(language),
        Occasion::Invited { clinic, token } => {
            invited(language, &one_line(clinic), &link(settings, "accept-invitation", token))
        }
        Occasion::InvitedAccount { clinic, token } => {
            invited_account(language, &one_line(clinic), &link(settings, "accept-invitation", token))
        }
    };
    Mail { to: to.to_owned(), subject, text, language: language.tag().to_owned() }
}

/// The token stands behind `#`, which browsers keep to themselves, so that it reaches no server's log.
fn link(settings: &MailSettings, page: &str, token: &LinkToken) -> String {
    match &settings.public_url {
        Some(base) => format!("{}/{page}#token={}", base.trim_end_matches('/'), token.expose()),
        None => token.expose().to_owned(),
    }
}

/// A name goes into a subject, where a line break would begin another header.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn reset(language: Language, link: &str) -> (String, String) {
    match language {
        Language::English => (
            "Set a new password".to_owned(),
            format!(
                "Somebody has asked to set a new password for your account.\n\nUse this within 30 minutes, once:\n\n\
                 {link}\n\nIf it was not you, do nothing: your password stays as it is.\n"
            ),
        ),
        Language::German => (
            "Neues Passwort setzen".to_owned(),
            format!(
                "Für Ihr Konto soll ein neues Passwort gesetzt werden.\n\nEinmal verwendbar, 30 Minuten lang:\n\n\
                 {link}\n\nWaren Sie es nicht, tun Sie nichts: Ihr Passwort bleibt, wie es ist.\n"
            ),
        ),
        Language::Arabic => (
            "تعيين كلمة مرور جديدة".to_owned(),
            format!(
                "طُلب تعيين كلمة مرور جديدة لحسابك.\n\nيُستخدم مرة واحدة خلال 30 دقيقة:\n\n{link}\n\n\
                 إن لم تكن أنت من طلب ذلك فلا تفعل شيئًا: تبقى كلمة مرورك كما هي.\n"
            ),
        ),
    }
}

fn changed(language: Language) -> (String, String) {
    let (subject, text) = match language {
        Language::English => (
            "Your password was changed",
            "The password of your account was changed, and its other log-ins were ended.\n\nIf it was not you, set a \
             new password at once and tell your administrator.\n",
        ),
        Language::German => (
            "Ihr Passwort wurde geändert",
            "Das Passwort Ihres Kontos wurde geändert, und andere Anmeldungen wurden beendet.\n\nWaren Sie es nicht, \
             setzen Sie sofort ein neues Passwort und sagen Sie es Ihrer Verwaltung.\n",
        ),
        Language::Arabic => (
            "تغيّرت كلمة مرورك",
            "تغيّرت كلمة مرور حسابك وأُنهيت جلسات الدخول الأخرى.\n\nإن لم تكن أنت من غيّرها فعيّن كلمة مرور جديدة فورًا \
             وأخبر مسؤول النظام.\n",
        ),
    };
    (subject.to_owned(), text.to_owned())
}

fn invited(language: Language, clinic: &str, link: &str) -> (String, String) {
    match language {
        Language::English => (
            format!("Invitation to {clinic}"),
            format!(
                "{clinic} has invited you to work with it in ClinicX.\n\nUse this within 7 days, once, to choose a \
                 password:\n\n{link}\n\nIf you don't know {clinic}, do nothing.\n"
            ),
        ),
        Language::German => (
            format!("Einladung von {clinic}"),
            format!(
                "{clinic} lädt Sie zur Zusammenarbeit in ClinicX ein.\n\nEinmal verwendbar, 7 Tage lang, um ein \
                 Passwort zu wählen:\n\n{link}\n\nKennen Sie {clinic} nicht, tun Sie nichts.\n"
            ),
        ),
        Language::Arabic => (
            format!("دعوة من {clinic}"),
            format!(
                "دعتك {clinic} للعمل معها في ClinicX.\n\nيُستخدم مرة واحدة خلال 7 أيام لاختيار كلمة مرور:\n\n{link}\n\n\
                 إن لم تكن تعرف {clinic} فلا تفعل شيئًا.\n"
            ),
        ),
    }
}

fn invited_account(language: Language, clinic: &str, link: &str) -> (String, String) {
    let (subject, _) = invited(language, clinic, link);
    let text = match language {
        Language::English => format!(
            "{clinic} has invited you to work with it in ClinicX.\n\nUse this within 7 days, once, with the password of \
             the account that you have:\n\n{link}\n\nIf you don't know {clinic}, do nothing.\n"
        ),
        Language::German => format!(
            "{clinic} lädt Sie zur Zusammenarbeit in ClinicX ein.\n\nEinmal verwendbar, 7 Tage lang, mit dem Passwort \
             Ihres bestehenden Kontos:\n\n{link}\n\nKennen Sie {clinic} nicht, tun Sie nichts.\n"
        ),
        Language::Arabic => format!(
            "دعتك {clinic} للعمل معها في ClinicX.\n\nيُستخدم مرة واحدة خلال 7 أيام مع كلمة مرور حسابك الحالي:\n\n{link}\n\n\
             إن لم تكن تعرف {clinic} فلا تفعل شيئًا.\n"
        ),
    };
    (subject, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::LinkKind;

    #[test]
    fn a_token_stands_behind_the_hash_of_a_link_or_alone() {
        let token = LinkToken::draw(LinkKind::PasswordReset).unwrap();
        let with = MailSettings { public_url: Some("https://app.example/".to_owned()) };
        for language in [Language::English, Language::German, Language::Arabic] {
            let occasion = Occasion::PasswordReset(&token);
            let mail = compose(&with, language, "a@b.example", &occasion);
            assert!(
                mail.text.contains(&format!("https://app.example/reset-password#token={}\n", token.expose()))
            );
            let bare = compose(&MailSettings::default(), language, "a@b.example", &occasion);
            assert!(bare.text.contains(&format!("\n{}\n", token.expose())));
            assert!(!bare.subject.contains(token.expose()));
        }
        assert_eq!(
            format!("{:?}", compose(&with, Language::English, "a", &Occasion::PasswordChanged)),
            "Mail(..)"
        );
    }

    #[test]
    fn a_clinics_name_begins_no_other_header() {
        let token = LinkToken::draw(LinkKind::Invitation).unwrap();
        let occasion = Occasion::InvitedAccount { clinic: "A\r\nBcc: x@y.example", token: &token };
        let mail = compose(&MailSettings::default(), Language::English, "a@b.example", &occasion);
        assert!(!mail.subject.contains(['\r', '\n']));
    }
}
