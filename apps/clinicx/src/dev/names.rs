//! Names for the demo clinics, in several scripts. None of them is a real person's record.

/// A given name and, for names that are written in another script, how it is written there.
pub(super) type Name = (&'static str, Option<&'static str>);

/// Given names of women.
pub(super) const WOMEN: &[Name] = &[
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
pub(super) const MEN: &[Name] = &[
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
pub(super) const FAMILIES: &[Name] = &[
    ("Haddad", Some("حداد")),
    ("Al-Khatib", Some("الخطيب")),
    ("Mansour", Some("منصور")),
    ("Nasser", Some("ناصر")),
    ("Darwish", Some("درويش")),
    ("Shahin", Some("شاهين")),
    ("Kovalenko", Some("Коваленко")),
    ("Petrova", Some("Петрова")),
    ("Papadopoulos", Some("Παπαδόπουλος")),
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
