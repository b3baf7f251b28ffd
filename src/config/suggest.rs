//! "Did you mean": the known name that a misspelt one most likely stands for.

/// The best of `known`, if one is near enough: the same key under another section, or few edits away.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let last = |name: &'a str| name.rsplit('.').next();
    let key = name.rsplit('.').next();
    let limit = 1 + name.chars().count() / 5;
    known
        .clone()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
        .or_else(|| known.clone().find(|candidate| last(candidate) == key))
}

/// Letters to insert, remove or replace, or neighbours to swap, to turn one word into the other.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut best = (above[j] + usize::from(a[i] != b[j])).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_swaps_as_one() {
        for (a, b, count) in [("listen", "listne", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(edits(a, b), count, "{a} {b}");
        }
    }

    #[test]
    fn far_names_get_no_suggestion() {
        let known = ["server.listen", "store.data_dir"].into_iter();
        assert_eq!(nearest("sever.lisen", known.clone()), Some("server.listen"));
        assert_eq!(nearest("server.data_dir", known.clone()), Some("store.data_dir"));
        assert_eq!(nearest("webhooks.schedule", known), None);
    }
}
