//! Lists, a page at a time, by key.

/// The most items that one page may hold.
pub const MAX_LIMIT: u16 = 200;
/// How many items a page holds unless the caller says otherwise.
pub const DEFAULT_LIMIT: u16 = 50;

/// The sort values and the id of the last item of a page, as text. It stays right under inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorKey(pub Vec<String>);

/// Which page of a list is wanted.
#[derive(Clone, Debug)]
pub struct PageRequest {
    limit: u16,
    /// The last item of the page before, if any.
    pub after: Option<CursorKey>,
    /// Whether the number of all matching items is wanted too; counting reads them all.
    pub count: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, after: None, count: false }
    }
}

impl PageRequest {
    /// Makes a request for the first `limit` items; `None` unless `limit` is 1 to [`MAX_LIMIT`].
    pub fn first(limit: u16) -> Option<Self> {
        (1..=MAX_LIMIT).contains(&limit).then_some(Self { limit, ..Self::default() })
    }

    /// Returns how many items the page may hold.
    pub fn limit(&self) -> u16 {
        self.limit
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<CursorKey>,
    /// The number of all matching items, when it was asked for.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` rows: the extra row says that there is a next page.
    pub fn from_rows(
        mut rows: Vec<T>,
        request: &PageRequest,
        total: Option<u64>,
        key: impl Fn(&T) -> Vec<String>,
    ) -> Self {
        let limit = usize::from(request.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| CursorKey(key(last)));
        Self { items: rows, next, total }
    }

    /// Turns each item into something else.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next: self.next, total: self.total }
    }
}
