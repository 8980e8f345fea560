//! Names for the demo clinics, in several scripts. None of them is a real person's record.

/// A name and, when it is written in another script, how it is written there.
type Name = (&'static str, Option<&'static str>);

/// A person whose given and family name are of one script.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// The given name in Latin letters.
    pub(super) given: &'static str,
    /// The family name in Latin letters.
    pub(super) family: &'static str,
    /// Both as the person writes them, unless in Latin letters.
    pub(super) original: Option<String>,
}

/// Returns one of the women, or of the men; the same for a number each time.
pub(super) fn person(is_woman: bool, number: usize) -> Person {
    let given = if is_woman { WOMEN } else { MEN };
    let (round, given) = (number / given.len(), pick(given, number));
    let script = Script::of(given);
    let families: Vec<Name> = FAMILIES.iter().copied().filter(|name| Script::of(*name) == script).collect();
    let family = pick(&families, number + round);
    let original = given.1.zip(family.1).map(|(given, family)| match script {
        Script::Han => format!("{family} {given}"),
        _ => format!("{given} {family}"),
    });
    Person { given: given.0, family: family.0, original }
}

fn pick(names: &[Name], number: usize) -> Name {
    names.get(number % names.len().max(1)).copied().unwrap_or(("Noor", None))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Hebrew,
    Arabic,
    Han,
}

impl Script {
    fn of((_, original): Name) -> Self {
        original.and_then(|text| text.chars().next()).map_or(Self::Latin, Self::of_letter)
    }

    fn of_letter(letter: char) -> Self {
        match letter {
            '\u{370}'..='\u{3ff}' => Self::Greek,
            '\u{400}'..='\u{4ff}' => Self::Cyrillic,
            '\u{590}'..='\u{5ff}' => Self::Hebrew,
            '\u{600}'..='\u{6ff}' => Self::Arabic,
            '\u{4e00}'..='\u{9fff}' => Self::Han,
            _ => Self::Latin,
        }
    }
}

/// Given names of women.
const WOMEN: &[Name] = &[
    ("Layla", Some("ليلى")),
    ("Maryam", Some("مريم")),
    ("Fatima", Some("فاطمة")),
    ("Noor", Some("نور")),
    ("Hala", Some("هالة")),
    ("Rasha", Some("رشا")),
    ("Olena", Some("Олена")),
    ("Iryna", Some("Ірина")),
    ("Eleni", Some("Ελένη")),
    ("Anna", None),
    ("Zoë", None),
    ("Júlia", None),
    ("Søren-Marie", None),
    ("Mei", Some("美")),
    ("Yuki", Some("雪")),
    ("Noa", Some("נועה")),
    ("Şule", None),
    ("Małgorzata", None),
    ("Françoise", None),
    ("Greta", None),
];

/// Given names of men.
const MEN: &[Name] = &[
    ("Ahmad", Some("أحمد")),
    ("Omar", Some("عمر")),
    ("Khaled", Some("خالد")),
    ("Yousef", Some("يوسف")),
    ("Sami", Some("سامي")),
    ("Tariq", Some("طارق")),
    ("Andriy", Some("Андрій")),
    ("Dmitri", Some("Дмитрий")),
    ("Nikos", Some("Νίκος")),
    ("Jürgen", None),
    ("Łukasz", None),
    ("André", None),
    ("Björn", None),
    ("Wei", Some("伟")),
    ("Haruto", Some("陽斗")),
    ("Eitan", Some("איתן")),
    ("İbrahim", None),
    ("Ángel", None),
    ("Jean-Luc", None),
    ("Paul", None),
];

/// Family names.
const FAMILIES: &[Name] = &[
    ("Haddad", Some("حداد")),
    ("Al-Khatib", Some("الخطيب")),
    ("Mansour", Some("منصور")),
    ("Nasser", Some("ناصر")),
    ("Darwish", Some("درويش")),
    ("Shahin", Some("شاهين")),
    ("Kovalenko", Some("Коваленко")),
    ("Petrenko", Some("Петренко")),
    ("Papageorgiou", Some("Παπαγεωργίου")),
    ("Müller", None),
    ("Strauß", None),
    ("Núñez", None),
    ("O'Connor", None),
    ("Dvořák", None),
    ("Wang", Some("王")),
    ("Tanaka", Some("田中")),
    ("Levi", Some("לוי")),
    ("Yıldız", None),
    ("Nowak", None),
    ("Lefèvre", None),
    ("Håkansson", None),
    ("de la Cruz", None),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dev::demo::PATIENTS;

    #[test]
    fn both_parts_of_a_name_are_of_one_script() {
        let mut scripts = BTreeSet::new();
        for number in 0..PATIENTS {
            for is_woman in [true, false] {
                let person = person(is_woman, number);
                let Some(original) = &person.original else { continue };
                let of_one: BTreeSet<String> = original
                    .chars()
                    .filter(|letter| letter.is_alphabetic())
                    .map(|letter| format!("{:?}", Script::of_letter(letter)))
                    .collect();
                assert_eq!(of_one.len(), 1, "{person:?}");
                assert_eq!(original.split(' ').count(), 2, "{person:?}");
                scripts.extend(of_one);
            }
        }
        assert_eq!(scripts.into_iter().collect::<Vec<_>>(), ["Arabic", "Cyrillic", "Greek", "Han", "Hebrew"]);
    }

    #[test]
    fn every_family_has_members() {
        let families: BTreeSet<_> = (0..PATIENTS / 2)
            .flat_map(|number| [true, false].map(|is_woman| person(is_woman, number).family))
            .collect();
        assert_eq!(families.len(), FAMILIES.len());
    }
}
