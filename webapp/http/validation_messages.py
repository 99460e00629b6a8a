"""The words of the form library for what is wrong with a field, in the users' language."""

from marshmallow import Schema, fields, validate

_FIELDS: dict[type[fields.Field], dict[str, str]] = {  # type: ignore[type-arg]
    fields.Field: {
        "required": "필수 항목입니다.",
        "null": "null일 수 없습니다.",
        "validator_failed": "올바르지 않은 값입니다.",
    },
    fields.String: {
        "invalid": "문자열이어야 합니다.",
        "invalid_utf8": "UTF-8 문자열이어야 합니다.",
    },
    fields.Number: {"invalid": "숫자여야 합니다.", "too_large": "숫자가 너무 큽니다."},
    fields.Integer: {"invalid": "정수여야 합니다."},
    fields.Boolean: {"invalid": "true 또는 false여야 합니다."},
    fields.UUID: {"invalid_uuid": "UUID 형식이어야 합니다."},
    fields.Enum: {"unknown": "다음 중 하나여야 합니다: {choices}"},
    fields.List: {"invalid": "목록이어야 합니다."},
    fields.Date: {
        "invalid": "날짜 형식이 올바르지 않습니다.",
        "format": "날짜로 나타낼 수 없습니다.",
    },
}

_VALIDATORS: dict[type[validate.Validator], dict[str, str]] = {
    validate.Range: {
        "message_min": "{{min}} 이상이어야 합니다.",
        "message_max": "{{max}} 이하여야 합니다.",
        "message_all": "{{min}} 이상 {{max}} 이하여야 합니다.",
    },
    validate.Length: {
        "message_min": "길이는 {min} 이상이어야 합니다.",
        "message_max": "길이는 {max} 이하여야 합니다.",
        "message_all": "길이는 {min} 이상 {max} 이하여야 합니다.",
        "message_equal": "길이는 {equal}이어야 합니다.",
    },
    validate.OneOf: {"default_message": "다음 중 하나여야 합니다: {choices}"},
    validate.Regexp: {"default_message": "형식이 올바르지 않습니다."},
    validate.Email: {"default_message": "이메일 주소 형식이 올바르지 않습니다."},
}


def install_korean_messages() -> None:
    """Replace the library's English words, for the whole process. Fields made before keep theirs, so webapp.http.schemas calls it first of all."""
    for field, words in _FIELDS.items():
        field.default_error_messages = {**field.default_error_messages, **words}
    for validator, messages in _VALIDATORS.items():
        for name, text in messages.items():
            setattr(validator, name, text)
    Schema.error_messages = {"unknown": "알 수 없는 항목입니다.", "type": "JSON 객체여야 합니다."}
