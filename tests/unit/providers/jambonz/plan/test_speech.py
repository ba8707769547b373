"""Phrases found in speech, in any script."""

# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from time import process_time

import pytest
from callhooks.providers.jambonz.plan.outcomes import VerbOutcome
from callhooks.providers.jambonz.plan.plan import Continue, Go, Next
from callhooks.providers.jambonz.plan.speech import parse_phrase, spoken_words
from hypothesis import assume, given
from hypothesis import strategies as st


def is_said(phrase: str, transcript: str) -> bool:
    return parse_phrase(phrase).is_in(spoken_words(transcript))


FOUND = {
    "English": [
        ("new order", "I have a NEW order, please"),
        ("new order", "new-order"),
        ("yes", "yes \U0001f44d\U0001f3fd"),
        ("don't", "Don\u2019t!"),
        ("R&D", "the R & D team"),
        ("1", "extension 1."),
        ("Sales", "Ｓａｌｅｓ"),
        ("office", "o\ufb03ce"),
        ("soft", "so\u00adft"),
    ],
    "French": [("café", "un cafe\u0301 noir"), ("l'ordre", "dans L\u2019ORDRE")],
    "Catalan": [("col·lega", "la COL·LEGA")],
    "Swedish": [("ångström", "\u212bngstro\u0308m")],
    "German": [("Straße", "die STRASSE"), ("gross", "groß"), ("GRO\u1e9e", "groß"), ("über", "U\u0308BER uns")],
    "Turkish": [("iptal", "İptal lütfen"), ("ışık", "IŞIK"), ("SATIŞ", "satış bölümü")],
    "Greek": [("οδός", "ΟΔΌΣ ναι"), ("ᾳ", "ΑΙ")],
    "Russian": [("да", "ДА, конечно"), ("йод", "и\u0306од")],
    "Ukrainian": [("м\u2019ята", "м\u02bcята")],
    "Vietnamese": [
        ("tiếng Việt", unicodedata.normalize("NFD", "tôi nói TIẾNG VIỆT")),
        ("Việt", "Vi\u00ea\u0323t"),
    ],
    "Hindi": [("हाँ", "जी हाँ"), ("नहीं", "नहीं है"), ("ज\u093cरूर", "\u095bरूर"), ("१", "नंबर 1"), ("1", "१")],
    "Bengali": [("শাখা", "বিক্রয় শাখা।"), ("ক্\u200dষ", "ক্ষ")],
    "Tamil": [("ஆம்", "ஆம், சரி")],
    "Malayalam": [("ശരി", "അതെ ശരി")],
    "Sinhala": [("ඔව්", "ඔව්, හරි")],
    "Thai": [
        ("ฝ่ายขาย", "ขอสายฝ่ายขายค่ะ"),
        ("ฝ่าย ขาย", "ฝ่ายขาย"),
        ("น้ำ", "ขอน้ำหน่อย"),
        ("12", "๑๒"),
        ("IT", "ฝ่ายITครับ"),
    ],
    "Lao": [("ຂາຍ", "ຝ່າຍຂາຍ")],
    "Khmer": [("បាទ", "បាទចាស")],
    "Burmese": [("ဟုတ်", "ဟုတ်ကဲ့")],
    "Tibetan": [("བོད་ཡིག", "ང་བོད་ཡིག་"), ("བོད", "བོད་ཡིག")],
    "Chinese": [
        ("销售", "我要找销售部"),
        ("销售", "我 要 找 销 售 部"),
        ("不要", "我，不要。"),
        ("5号", "请按５号键"),
        ("wifi设置", "打开 WiFi 设置"),
    ],
    "Japanese": [
        ("はい", "はい、お願いします"),
        ("カスタマーサービス", "カスタマー・サービスへ"),
        ("ガス", "ｶﾞｽです"),
        ("営業", "営業部お願いします"),
    ],
    "Korean": [
        ("영업부", "영업부를 연결해 주세요"),
        ("영업부", unicodedata.normalize("NFD", "영업부로요")),
        ("네", "네, 맞아요"),
        ("네 맞아", "네, 맞아요"),
        ("1번", "1번이요"),
        ("VIP", "VIP는요"),
        ("고객 센터", "고객 센터로"),
    ],
    "Hebrew": [
        ("שלום", "שָׁלוֹם לך"),
        ("שָׁלוֹם", "\ufb2aלום"),
        ("צה\u05f4ל", 'מ צה"ל'),
        ("צ\u05f3ק", "צ'ק"),
        ("כן", "אני אומר\u05beכן"),
    ],
    "Arabic": [
        ("نعم", "نَعَمْ"),
        ("مُحَمَّد", "محمد"),
        ("صباح", "صـــباح الخير"),
        ("٢", "رقم 2"),
        ("أمر", "ا\u0654مر"),
        ("نعم", "\u202bنعم\u202c"),
    ],
    "Persian": [("می\u200cخواهم", "من میخواهم"), ("خیر", "خیر۔"), ("۳", "3")],
    "Amharic": [("አዎ", "አዎ፡እሺ።")],
    "Georgian": [("კი", "კი, დიახ"), ("კი", "\u1c99\u1c98")],
    "Armenian": [("այո", "ԱՅՈ։")],
    "Cherokee": [("ᏣᎳᎩ", "ꮳꮃꭹ")],
}
NOT_FOUND = {
    "English": [
        ("sales", "wholesales"),
        ("sale", "sales"),
        ("new order", "new big order"),
        ("no", "no\u0301"),
        ("don", "don't"),
        ("yes", "yes1"),
    ],
    "French": [("e", "é"), ("si", "si\u0301")],
    "Greek": [("να", "ναι")],
    "Russian": [("иод", "йод")],
    "Vietnamese": [("Viet", "Việt")],
    "Hindi": [("हाँ", "नहीं है"), ("ह", "है"), ("नही", "नहीं")],
    "Bengali": [("ক", "ক্ষ")],
    "Tamil": [("ஆ", "ஆம்")],
    "Malayalam": [("ക", "കി")],
    "Thai": [("น้า", "น้ำ"), ("ที", "ที่")],
    "Lao": [("ກ", "ກໍ")],
    "Khmer": [("ស", "ស្តី"), ("ត", "ស្តី")],
    "Burmese": [("မ", "မြ"), ("က", "က်")],
    "Tibetan": [("ག", "གྱ")],
    "Chinese": [("销售", "售销"), ("T", "IT部门")],
    "Japanese": [("か", "か\u3099"), ("か", "が")],
    "Korean": [
        ("네", "그렇네요"),
        ("네", "네트워크"),
        ("예", "예약하고 싶어요"),
        ("업부", "영업부"),
        ("고객센터", "고객 센터"),
        ("가", "각"),
        ("영업", "영업\u302e"),
    ],
    "Hebrew": [("כן", "לכן")],
    "Arabic": [("ال", "الو"), ("امر", "أمر")],
    "Persian": [("من", "م\u200cن\u200cا")],
    "Amharic": [("አዎ", "አዎን")],
    "Georgian": [("კი", "კიდევ")],
}


def cases(table: Mapping[str, Sequence[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    return [(language, *pair) for language, pairs in table.items() for pair in pairs]


@pytest.mark.parametrize(("language", "phrase", "transcript"), cases(FOUND))
def test_a_phrase_is_found(language: str, phrase: str, transcript: str) -> None:
    assert is_said(phrase, transcript), language


@pytest.mark.parametrize(("language", "phrase", "transcript"), cases(NOT_FOUND))
def test_a_phrase_is_not_found_in_other_words(language: str, phrase: str, transcript: str) -> None:
    assert not is_said(phrase, transcript), language


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\u2026!", "?", "'", "+-*/", "_", "、。", "་", "\U0001f44d"),
        *("\u064e\u0651", "\u0640\u0640", "\u200d\u200c", "\u0301", "\u093e", "\ufe0f", "\u3164"),
    ],
)
def test_a_text_without_letters_and_digits_has_no_words(text: str) -> None:
    assert parse_phrase(text).words == ""


WITHOUT_SPACES = (
    *("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA LETTER", "KATAKANA LETTER", "BOPOMOFO LETTER", "THAI"),
    *("LAO", "KHMER", "MYANMAR", "TIBETAN", "TAI ", "NEW TAI LUE", "AHOM", "JAVANESE"),
    *("BALINESE", "YI SYLLABLE"),
)
WITH_SPACES = (
    *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "SYRIAC", "THAANA", "DEVANAGARI", "BENGALI"),
    *("GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "ETHIOPIC", "GEORGIAN"),
    *("CHEROKEE", "MONGOLIAN", "NKO", "TIFINAGH", "ADLAM"),
)


@pytest.mark.parametrize(("scripts", "words"), [(WITHOUT_SPACES, 2), (WITH_SPACES, 1)])
def test_scripts_without_spaces_are_read_letter_by_letter(scripts: tuple[str, ...], words: int) -> None:
    letters = {
        char: name
        for char in map(chr, range(0x20100))
        if (name := unicodedata.name(char, "")).startswith(scripts)
        and unicodedata.category(char) in ("Lo", "Ll")
        and unicodedata.normalize("NFKD", char) == char
    }
    assert all(any(name.startswith(script) for name in letters.values()) for script in scripts)
    # A digit is a word in every script, so it separates the letters.
    found = spoken_words(" 0 ".join(char * 2 for char in letters)).split("0")
    assert [name for name, said in zip(letters.values(), found, strict=True) if len(said.split()) != words] == []


FORMS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.title,
    *(lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")),
)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Co", "Cn")), max_size=10)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_a_phrase_is_found_in_every_form_between_other_words(
    phrase: str, before: str, after: str, written: Callable[[str], str], said: Callable[[str], str]
) -> None:
    assume(parse_phrase(phrase).words)
    assert is_said(written(phrase), f"{before} {said(phrase)} {after}")


LETTERS = "abzéßøαωςжйהשאبندहकখதమകශአკաᏣ가네销はカกทລកမབ"
MARKS = "\u0301\u0323\u0327\u0901\u0902\u093e\u094d\u09be\u0bcd\u0d3f\u0e48\u0ec8\u17b6\u103b\u0f71\u302e\u3099"


@given(st.text(LETTERS, min_size=1, max_size=6), st.sampled_from(MARKS))
def test_a_phrase_is_not_found_where_a_mark_follows(phrase: str, mark: str) -> None:
    assert not is_said(phrase, f"0 {phrase}{mark} 0")


WORD = st.text("abzéßøαωςжйהשאبندहकখதమകශአკաᏣ", min_size=1, max_size=6)


@given(WORD, WORD)
def test_a_phrase_is_not_found_inside_a_longer_word(phrase: str, more: str) -> None:
    assert not is_said(phrase, f"0 {phrase}{more} 0 {phrase}1")


FEW_LETTERS = st.text("ab1 销售네가", min_size=1, max_size=4)


@given(FEW_LETTERS, FEW_LETTERS)
def test_an_earlier_phrase_shadows_a_later_one_if_it_is_found_wherever_that_is(earlier: str, later: str) -> None:
    first, second = parse_phrase(earlier), parse_phrase(later)
    assume(first.words and second.words)
    said = [text for text in (later, f"{later.strip()}요") if is_said(later, text)]
    assert first.is_in(second.words) is all(is_said(earlier, text) for text in said)


@pytest.mark.parametrize(
    "part",
    [
        *("a\u0301", "\u0301\u0323", "\uff9e\u0301", "\u1039\u1000", "क्", "销", "가", "각 ", "word ", "'", " "),
        *("\u200d", "\u05b8\u05d0", 'א"'),
    ],
)
def test_a_long_transcript_takes_no_quadratic_time(part: str) -> None:
    began = process_time()
    assert is_said("yes please", f"{part * (100_000 // len(part))} yes please {part * 1000}")
    assert process_time() - began < 3


def test_the_first_phrase_of_the_most_likely_transcript_wins() -> None:
    phrases = ("मदद", "नहीं", "हाँ")
    following = Next(phrases=tuple((parse_phrase(phrase), Go(phrase)) for phrase in phrases))
    for speech, target in [
        (("हाँ नहीं", "मदद"), Go("नहीं")),
        (("हा", "जी हाँ"), Go("हाँ")),
        (("है",), Continue()),
    ]:
        assert following.after(VerbOutcome(("speech",), speech=speech)) == target
