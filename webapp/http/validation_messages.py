"""Korean validation messages for marshmallow."""

from marshmallow import Schema, fields, validate

_FIELDS: dict[type[fields.Field], dict[str, str]] = {  # type: ignore[type-arg]
    fields.Field: {
        "required": "필수 항목입니다.",
        "null": "값을 입력해 주세요.",
        "validator_failed": "올바르지 않은 값입니다.",
    },
    fields.String: {
        "invalid": "문자열로 입력해 주세요.",
        "invalid_utf8": "UTF-8 문자열로 입력해 주세요.",
    },
    fields.Number: {"invalid": "숫자로 입력해 주세요.", "too_large": "숫자가 너무 큽니다."},
    fields.Integer: {"invalid": "정수로 입력해 주세요."},
    fields.Boolean: {"invalid": "true 또는 false로 입력해 주세요."},
    fields.UUID: {"invalid_uuid": "UUID 형식으로 입력해 주세요."},
    fields.Enum: {"unknown": "다음 중에서 선택해 주세요: {choices}"},
    fields.Email: {"invalid": "이메일 주소 형식이 올바르지 않습니다."},
    fields.List: {"invalid": "목록으로 입력해 주세요."},
    fields.Date: {
        "invalid": "날짜 형식이 올바르지 않습니다.",
        "format": "날짜로 표시할 수 없습니다.",
    },
}

_VALIDATORS: dict[type[validate.Validator], dict[str, str]] = {
    validate.Range: {
        "message_min": "{{min}} 이상으로 입력해 주세요.",
        "message_max": "{{max}} 이하로 입력해 주세요.",
        "message_all": "{{min}} 이상 {{max}} 이하로 입력해 주세요.",
    },
    validate.Length: {
        "message_min": "{min}자 이상으로 입력해 주세요.",
        "message_max": "{max}자 이하로 입력해 주세요.",
        "message_all": "{min}자 이상 {max}자 이하로 입력해 주세요.",
        "message_equal": "{equal}자로 입력해 주세요.",
    },
    validate.OneOf: {"default_message": "다음 중에서 선택해 주세요: {choices}"},
    validate.Regexp: {"default_message": "형식이 올바르지 않습니다."},
}


def install_korean_messages() -> None:
    """Replace marshmallow's English messages for the whole process.

    Existing fields keep their messages, so webapp.http.schemas calls this on import.
    """
    for field, messages in _FIELDS.items():
        field.default_error_messages = {**field.default_error_messages, **messages}
    for validator, messages in _VALIDATORS.items():
        for name, text in messages.items():
            setattr(validator, name, text)
    Schema.error_messages = {
        "unknown": "알 수 없는 항목입니다.",
        "type": "JSON 객체로 보내 주세요.",
    }
