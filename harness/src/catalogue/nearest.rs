//! Ids that somebody may have meant.

/// How many are suggested.
const SUGGESTED_MAX: usize = 5;

/// Those most like `wanted`, the nearest first; none that has little in common with it.
pub(super) fn to<'a>(wanted: &str, ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.trim().to_ascii_lowercase();
    let mut near: Vec<(usize, &str)> = ids
        .filter_map(|id| {
            let distance = match id.contains(&wanted) && !wanted.is_empty() {
                true => 0,
                false => distance(&wanted, id),
            };
            (distance <= wanted.len() / 2).then_some((distance, id))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(SUGGESTED_MAX).map(|(_, id)| id).collect()
}

/// How many bytes have to be changed, put in or left out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_or_a_part_is_found_and_what_is_foreign_is_not() {
        let ids = ["service/answer/accepted", "service/answer/once", "rtp/sequence"];
        assert_eq!(to("service/anwser/once", ids.into_iter())[0], "service/answer/once");
        assert_eq!(to("sequence", ids.into_iter()), ["rtp/sequence"]);
        assert!(to("xyzzy", ids.into_iter()).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
