"""The kinds of drills, and what each shows, in the languages of `drill --list`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class DrillKind(StrEnum):
    """What is hit: a consumer process, the supervisor, a server, or the topic `orders`."""

    INSTANCE = "instance"
    SUPERVISOR = "supervisor"
    BROKER = "broker"
    POSTGRES = "postgres"
    REDIS = "redis"
    POISON = "poison"
    FLOOD = "flood"


class Language(StrEnum):
    """Of the explanations."""

    ENGLISH = "en"
    KOREAN = "ko"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Two sentences on a kind: what one will see, and why nothing is lost."""

    kind: DrillKind
    sees: str
    why: str


_TEXTS: Mapping[Language, Mapping[DrillKind, tuple[str, str]]] = {
    Language.ENGLISH: {
        DrillKind.INSTANCE: (
            "Half of the consumer processes are frozen (SIGSTOP) for longer than their session: their partitions stand"
            " still for about ten seconds, then other instances take them, and the frozen ones wake up with a batch"
            " that is no longer theirs.",
            "Rows and offsets are in one PostgreSQL transaction that begins with the fence: who finds the offset moved"
            " stores nothing, and reads again from PostgreSQL's offset.",
        ),
        DrillKind.SUPERVISOR: (
            "The supervisor is killed with SIGKILL, so its instances finish their step and end, and all partitions"
            " stand still until it is started again, as a service manager would do.",
            "Its instances come back under the same member ids and begin at PostgreSQL's offsets, which moved in the"
            " same transaction as the rows.",
        ),
        DrillKind.BROKER: (
            "One of three brokers is killed with SIGKILL: sending stands still for some seconds until its partitions"
            " have new leaders, and when it is started again it catches up from the others.",
            "An event counts as acknowledged only when at least two brokers have it, and the idempotent producer sends"
            " the rest again without writing any twice.",
        ),
        DrillKind.POSTGRES: (
            "PostgreSQL is killed with SIGKILL: nothing is stored and the cache is not refreshed, while orders are"
            " sent from the cached rows and wait in Kafka until it is back.",
            "A transaction is there whole or not at all, so after the crash recovery each instance asks for its offset"
            " and continues exactly there.",
        ),
        DrillKind.REDIS: (
            "Redis is killed with SIGKILL: no new orders are made, and what is in Kafka is stored anyway; it"
            " comes back with the cache that it had written to its disk.",
            "The cache holds only copies of rows that are in PostgreSQL, and the producer waits for it instead of"
            " inventing rows.",
        ),
        DrillKind.POISON: (
            "Messages that nobody should send arrive among the orders: broken JSON, impossible values, wrong keys and"
            " orders sent twice; the good ones beside them are stored without a pause.",
            "Each message is accounted for: stored, a duplicate, parked until its user is there, or a dead letter with"
            " its bytes and the reason.",
        ),
        DrillKind.FLOOD: (
            "Tens of thousands of orders are sent as fast as Kafka takes them: what the consumers cannot store at once"
            " waits in Kafka, and is worked off.",
            "Kafka keeps what is not stored yet, and each step takes no more than PostgreSQL can store in one"
            " transaction.",
        ),
    },
    Language.KOREAN: {
        DrillKind.INSTANCE: (
            "컨슈머 프로세스의 절반을 세션 제한 시간보다 오래 멈추면(SIGSTOP) 그 파티션은 10초쯤 처리되지 않다가 다른"
            " 인스턴스가 넘겨받고, 멈췄던 프로세스는 더는 자기 것이 아닌 배치를 든 채 깨어납니다.",
            "행과 오프셋은 펜스로 시작하는 하나의 PostgreSQL 트랜잭션에 들어가므로, 오프셋이 이미 옮겨졌으면 아무것도"
            " 저장하지 않고 PostgreSQL의 오프셋부터 다시 읽습니다.",
        ),
        DrillKind.SUPERVISOR: (
            "슈퍼바이저를 SIGKILL로 종료하면 인스턴스는 하던 단계를 마치고 끝나며, 서비스 관리자처럼 다시 시작할"
            " 때까지 모든 파티션이 멈춥니다.",
            "인스턴스는 같은 멤버 ID로 돌아와 PostgreSQL의 오프셋에서 시작하고, 그 오프셋은 행과 같은 트랜잭션에서"
            " 옮겨졌습니다.",
        ),
        DrillKind.BROKER: (
            "브로커 세 대 중 한 대를 SIGKILL로 종료하면 파티션의 새 리더가 정해질 때까지 몇 초 동안 전송이 멈추고,"
            " 다시 시작한 브로커는 나머지 브로커에서 따라잡습니다.",
            "이벤트는 적어도 브로커 두 대가 가졌을 때만 확인되고, 멱등 프로듀서는 나머지를 두 번 쓰지 않고 다시"
            " 보냅니다.",
        ),
        DrillKind.POSTGRES: (
            "PostgreSQL을 SIGKILL로 종료하면 저장과 캐시 갱신이 멈추지만 주문은 캐시된 행으로 계속 만들어져,"
            " PostgreSQL이 돌아올 때까지 Kafka에서 기다립니다.",
            "트랜잭션은 전부 남거나 전혀 남지 않으므로, 복구가 끝나면 각 인스턴스는 자기 오프셋을 묻고 바로 그 자리에서"
            " 이어 갑니다.",
        ),
        DrillKind.REDIS: (
            "Redis를 SIGKILL로 종료하면 새 주문은 만들어지지 않지만 Kafka에 있는 것은 그대로 저장되고, Redis는"
            " 디스크에 적어 둔 캐시와 함께 돌아옵니다.",
            "캐시에는 PostgreSQL에 있는 행의 사본만 있고, 프로듀서는 행을 지어내지 않고 캐시를 기다립니다.",
        ),
        DrillKind.POISON: (
            "아무도 보내서는 안 되는 메시지가 주문 사이에 섞여 들어오고(깨진 JSON, 있을 수 없는 값, 틀린 키, 두 번 보낸"
            " 주문), 곁의 정상 주문은 쉬지 않고 저장됩니다.",
            "모든 메시지는 저장됨, 중복, 사용자를 기다리는 보류, 원문과 이유가 남는 데드 레터 중 하나로 집계됩니다.",
        ),
        DrillKind.FLOOD: (
            "주문 수만 건을 Kafka가 받는 가장 빠른 속도로 보내면 컨슈머가 바로 저장하지 못한 것은 Kafka에서 기다리다가"
            " 처리됩니다.",
            "아직 저장되지 않은 것은 Kafka가 보관하고, 각 단계는 PostgreSQL이 한 트랜잭션에 저장할 수 있는 만큼만"
            " 가져갑니다.",
        ),
    },
}  # fmt: skip


def explain(kind: DrillKind, language: Language) -> Explanation:
    """What a drill of this kind shows."""
    sees, why = _TEXTS[language][kind]
    return Explanation(kind=kind, sees=sees, why=why)


def explanations(language: Language) -> list[Explanation]:
    """Of all kinds."""
    return [explain(kind, language) for kind in DrillKind]
