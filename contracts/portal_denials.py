"""Why a call is denied that is about passkeys, portals or face assertions; see `denials.py`."""

from __future__ import annotations

from typing import Final

from ledger.errors import Category

_INVALID = Category.INVALID
_FORBIDDEN = Category.FORBIDDEN
_CONFLICT = Category.CONFLICT
_TOO_LARGE = Category.TOO_LARGE

PORTAL_DENIALS: Final[dict[str, tuple[Category, str, str]]] = {
    "passkeys_not_here": (
        _CONFLICT,
        "本网络未设置通行密钥域名，须由运营方表决设置",
        "This network has no relying-party id for passkeys; operators set it by vote",
    ),
    "passkey_role": (
        _INVALID,
        "通行密钥只用于个人（holder），不能用于 {role}",
        "A passkey is for people (role holder), not for role {role}",
    ),
    "passkey_key_invalid": (
        _INVALID,
        "通行密钥公钥应为 65 字节的 P-256 点或 32 字节的 Ed25519 公钥",
        "A passkey's public key is a P-256 point of 65 bytes or an Ed25519 key of 32 bytes",
    ),
    "webauthn_invalid": (
        _INVALID,
        "通行密钥设置不正确（{what}）：域名须为 rp_id 或其子域，来源须为 https，且不含路径与默认端口",
        "The passkey settings are wrong ({what}): origins are https, on the rp id or a subdomain, without path or default port",
    ),
    "rp_id_fixed": (
        _CONFLICT,
        "通行密钥域名 {rp_id} 不能更改，否则所有通行密钥失效；只可更改来源",
        "The relying-party id {rp_id} cannot change, or every passkey is lost; change the origins only",
    ),
    "portal_unchanged": (
        _CONFLICT,
        "门户 {name} 的此版本已经批准",
        "This bundle of the portal {name} is approved already",
    ),
    "too_many_portals": (_TOO_LARGE, "门户最多 {maximum} 个", "There are at most {maximum} portals"),
    "face_malformed": (
        _INVALID,
        "人脸核验断言格式不正确（{what}），请由核验服务重新签发",
        "The face assertion is malformed ({what}); have the service make it again",
    ),
    "face_service_unknown": (
        _FORBIDDEN,
        "{service} 未登记为人脸核验服务，或其密钥 {key_id} 不可用",
        "{service} is not registered as a face service, or its key {key_id} cannot be used",
    ),
    "face_signature": (
        _FORBIDDEN,
        "人脸核验断言的签名无效（服务 {service}）",
        "The signature of the face assertion does not hold (service {service})",
    ),
    "face_expired": (
        _CONFLICT,
        "人脸核验断言不在有效期内（{from_ms} 至 {until_ms}，当前 {time_ms}），请重新核验",
        "The face assertion is outside its time ({from_ms} to {until_ms}, now {time_ms}); verify again",
    ),
    "face_not_bound": (
        _FORBIDDEN,
        "人脸核验断言不是为此事项签发的（{what}）",
        "The face assertion was made for something else ({what})",
    ),
    "face_used": (
        _CONFLICT,
        "人脸核验断言已使用过，请重新核验",
        "The face assertion was used before; verify again",
    ),
    "window_not_independent": (
        _FORBIDDEN,
        "申请方、窗口部门（{clerk}）与人脸核验服务（{service}）须为三个不同机构",
        "The one who asks, the clerk's department ({clerk}) and the face service ({service}) must be three organisations",
    ),
    "face_busy": (
        Category.BUSY,
        "该人脸核验服务两分钟内的断言已达 {maximum} 个，请稍后再试",
        "This face service has {maximum} assertions in two minutes; try again soon",
    ),
}
